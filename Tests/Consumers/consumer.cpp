// A C++ host: handles in smart pointers, data from its own memory, a step at a time.
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <twolayernet.h>
#include <vector>

struct Free {
  void operator()(tln_network *n) const { tln_network_free(n); }
  void operator()(tln_trainer *t) const { tln_trainer_free(t); }
};

static void check(tln_status status) {
  if (status != TLN_OK) throw std::runtime_error(tln_last_error());
}

int main() {
  tln_network_options options;
  tln_network_options_init(&options);
  options.input_size = 2;
  options.hidden_size = 8;
  options.output_size = 2;
  tln_network *made = nullptr;
  check(tln_network_create(&options, &made));
  std::unique_ptr<tln_network, Free> network(made);
  tln_trainer *begun = nullptr;
  check(tln_trainer_create(network.get(), nullptr, &begun));
  std::unique_ptr<tln_trainer, Free> trainer(begun);

  const std::vector<float> features = {0, 0, 0, 1, 1, 0, 1, 1};
  const std::vector<int64_t> labels = {0, 1, 1, 0};
  float loss = 0;
  for (int step = 0; step < 500; ++step)
    check(tln_trainer_step(trainer.get(), features.data(), labels.data(), 4, &loss));
  std::vector<int64_t> predicted(4);
  check(tln_network_predict(network.get(), features.data(), 4, predicted.data()));
  std::printf("%g %d\n", static_cast<double>(loss), predicted == labels);
  try {
    check(tln_network_predict(network.get(), nullptr, 4, predicted.data()));
  } catch (const std::runtime_error &error) {
    std::printf("%s\n", error.what());
    return 0;
  }
  return 1;
}
