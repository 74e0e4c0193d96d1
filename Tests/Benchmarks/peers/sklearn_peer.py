"""scikit-learn's MLPClassifier with the article's settings."""

import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier

from worker import as_floats, features_and_labels, serve


class ScikitLearn:
    name, version = "scikit-learn", sklearn.__version__

    def prepare(self, **workload):
        features, labels = features_and_labels(workload)
        self.x, self.y = as_floats(features), np.asarray(labels)
        self.model = MLPClassifier(
            (workload["hidden"],),
            solver="sgd",
            batch_size=workload["batch"],
            learning_rate_init=workload["learning_rate"],
            momentum=0.9,
            nesterovs_momentum=False,
            alpha=0,
        )

    def epoch(self):
        self.model.partial_fit(self.x, self.y, classes=np.arange(10))


if __name__ == "__main__":
    serve(ScikitLearn())
