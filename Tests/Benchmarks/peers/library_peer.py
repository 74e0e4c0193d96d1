"""This library, through its Python binding; a pass is one call into C. Threads: OMP_NUM_THREADS, as for
the others."""

import os

import numpy as np
import twolayernet

from worker import features_and_labels, serve


class Library:
    name, version = "twolayernet", twolayernet.__version__

    def prepare(self, **workload):
        features, labels = features_and_labels(workload)
        self.dataset = twolayernet.Dataset(features, np.asarray(labels))
        sizes = features.shape[1], workload["hidden"], workload["outputs"]
        self.network = twolayernet.Network(
            *sizes, device="cpu", threads=int(os.environ["OMP_NUM_THREADS"])
        )
        options = {"learning_rate": workload["learning_rate"], "batch_size": workload["batch"]}
        self.trainer = twolayernet.Trainer(self.network, **options)

    def epoch(self):
        self.trainer.fit(self.dataset, 1)

    def evaluate(self):
        return self.network.evaluate(self.dataset).correct


if __name__ == "__main__":
    serve(Library())
