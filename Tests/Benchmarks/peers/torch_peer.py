"""PyTorch, tuned: the data lie in tensors, and there is no DataLoader. Threads: OMP_NUM_THREADS."""

import os
import warnings

import torch
from torch import nn

from worker import Rows, as_floats, features_and_labels, serve

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
# The arrays are mapped read-only, and nothing here writes to them.
warnings.filterwarnings("ignore", message="The given NumPy array is not writ")


class PyTorch:
    name, version = "PyTorch", torch.__version__

    def prepare(self, **workload):
        features, labels = features_and_labels(workload)
        self.x = torch.from_numpy(as_floats(features))
        self.y = torch.from_numpy(labels.astype("int64"))
        inputs, hidden, outputs = self.x.shape[1], workload["hidden"], workload["outputs"]
        self.rows = Rows(len(self.x), workload["batch"], workload["steps"])
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))
        self.criterion = nn.CrossEntropyLoss()
        rate = workload["learning_rate"]
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=rate, momentum=0.9)

    def epoch(self):
        for rows in self.rows:
            rows = torch.from_numpy(rows)
            self.optimizer.zero_grad()
            self.criterion(self.model(self.x[rows]), self.y[rows]).backward()
            self.optimizer.step()

    @torch.no_grad()
    def evaluate(self):
        return int((self.model(self.x).argmax(1) == self.y).sum())


if __name__ == "__main__":
    serve(PyTorch())
