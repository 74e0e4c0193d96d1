/* Opens MNIST, prepares the article's training and prints a line after its first step.
 * Usage: first_step DIRECTORY */
#include <stdio.h>
#include <twolayernet.h>

static int32_t stop(const tln_progress *progress, void *user_data) {
  (void)user_data;
  printf("%.5f\n", progress->loss);
  fflush(stdout);
  return 1;
}

int main(int argc, char **argv) {
  tln_dataset *train = NULL;
  tln_network *network = NULL;
  tln_trainer *trainer = NULL;
  tln_status status = tln_dataset_open_mnist(argc > 1 ? argv[1] : "data", 1, &train);
  if (status == TLN_OK) status = tln_network_create(NULL, &network);
  if (status == TLN_OK) status = tln_trainer_create(network, NULL, &trainer);
  if (status == TLN_OK) status = tln_trainer_fit(trainer, train, 1, stop, NULL);
  if (status != TLN_CANCELLED) fprintf(stderr, "%s\n", tln_last_error());
  tln_trainer_free(trainer);
  tln_network_free(network);
  tln_dataset_free(train);
  return status != TLN_CANCELLED;
}
