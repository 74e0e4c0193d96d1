/* Seconds to save and to load the article's network and a trainer's state, a line each.
 * Usage: files DIRECTORY, where it leaves its files */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <twolayernet.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec + 1e-9 * time.tv_nsec;
}

static void report(const char *name, tln_status status, double begin) {
  if (status != TLN_OK) {
    fprintf(stderr, "%s: %s\n", name, tln_last_error());
    exit(1);
  }
  printf("%s %.9f\n", name, now() - begin);
}

int main(int argc, char **argv) {
  char network_path[4096], safetensors_path[4096], trainer_path[4096];
  const char *place = argc > 1 ? argv[1] : ".";
  snprintf(network_path, sizeof network_path, "%s/mnist.pth", place);
  snprintf(safetensors_path, sizeof safetensors_path, "%s/mnist.safetensors", place);
  snprintf(trainer_path, sizeof trainer_path, "%s/trainer.pth", place);
  tln_network *network = NULL, *loaded = NULL, *other = NULL;
  tln_trainer *trainer = NULL;
  if (tln_network_create(NULL, &network) || tln_trainer_create(network, NULL, &trainer)) return 1;

  double begin = now();
  report("save_network", tln_network_save(network, network_path), begin);
  begin = now();
  report("load_network", tln_network_load(network_path, NULL, &loaded), begin);
  begin = now();
  report("save_safetensors", tln_network_save(network, safetensors_path), begin);
  begin = now();
  report("load_safetensors", tln_network_load(safetensors_path, NULL, &other), begin);
  begin = now();
  report("save_trainer", tln_trainer_save(trainer, trainer_path), begin);
  begin = now();
  report("load_trainer", tln_trainer_load(trainer, trainer_path), begin);

  tln_network_free(other);
  tln_network_free(loaded);
  tln_trainer_free(trainer);
  tln_network_free(network);
  return 0;
}
