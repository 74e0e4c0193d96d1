/* Trains a network on MNIST's files and saves it: cc train.c $(pkg-config --cflags --libs twolayernet)
 * Usage: train DIRECTORY EPOCHS */
#include <stdio.h>
#include <stdlib.h>
#include <twolayernet.h>

static int32_t report(const tln_progress *progress, void *user_data) {
  (void)user_data;
  if (progress->step + 1 == progress->steps)
    printf("epoch %lld: loss %.5f\n", (long long)progress->epoch, progress->mean_loss);
  return 0; /* anything else would stop the training */
}

int main(int argc, char **argv) {
  const char *directory = argc > 1 ? argv[1] : "data";
  tln_dataset *train = NULL, *test = NULL;
  tln_network *network = NULL;
  tln_trainer *trainer = NULL;
  tln_evaluation result = {sizeof result, 0, 0, 0, 0};
  tln_network_options options;
  tln_network_options_init(&options); /* 784, 100, 10, seed 0, the best device */

  tln_status status = tln_dataset_open_mnist(directory, 1, &train);
  if (status == TLN_OK) status = tln_dataset_open_mnist(directory, 0, &test);
  if (status == TLN_OK) status = tln_dataset_shape(train, NULL, &options.input_size);
  if (status == TLN_OK) status = tln_network_create(&options, &network);
  if (status == TLN_OK) status = tln_trainer_create(network, NULL, &trainer);
  if (status == TLN_OK) status = tln_trainer_fit(trainer, train, argc > 2 ? atoi(argv[2]) : 25, report, NULL);
  if (status == TLN_OK) status = tln_network_evaluate(network, test, &result);
  if (status == TLN_OK) status = tln_network_save(network, "mnist.pth");
  if (status == TLN_OK) printf("accuracy %.2f %%\n", 100 * result.accuracy);
  else fprintf(stderr, "%s: %s\n", tln_status_name(status), tln_last_error());

  tln_trainer_free(trainer);
  tln_network_free(network);
  tln_dataset_free(test);
  tln_dataset_free(train);
  return status != TLN_OK;
}
