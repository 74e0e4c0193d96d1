"""NumPy: forward and backward written by hand, every array allocated once.

Threads are OpenBLAS's (OPENBLAS_NUM_THREADS).
"""

import numpy as np

from worker import Rows, as_floats, features_and_labels, serve


class NumPy:
    name, version = "NumPy", np.__version__

    def prepare(self, **workload):
        features, labels = features_and_labels(workload)
        self.x, self.y = as_floats(features), np.asarray(labels).astype(np.int64)
        inputs, hidden, outputs = self.x.shape[1], workload["hidden"], workload["outputs"]
        self.learning_rate = np.float32(workload["learning_rate"])
        batch = workload["batch"]
        self.rows = Rows(len(self.x), batch, workload["steps"])
        random = np.random.default_rng(0)

        def draw(terms, *shape):
            return (random.uniform(-1, 1, shape) / np.sqrt(terms)).astype(np.float32)

        # W1 [input, hidden], b1, W2 [hidden, output], b2; velocities; gradients
        self.parameters = [draw(inputs, inputs, hidden), draw(inputs, hidden)]
        self.parameters += [draw(hidden, hidden, outputs), draw(hidden, outputs)]
        self.velocities = [np.zeros_like(p) for p in self.parameters]
        self.gradients = [np.empty_like(p) for p in self.parameters]
        self.rows_of_batch = np.empty((batch, inputs), np.float32)
        self.h, self.dh = (np.empty((batch, hidden), np.float32) for _ in range(2))
        self.o = np.empty((batch, outputs), np.float32)
        self.index = np.arange(batch)

    def step(self, rows):
        w1, b1, w2, b2 = self.parameters
        dw1, db1, dw2, db2 = self.gradients
        x, h, dh, o = self.rows_of_batch, self.h, self.dh, self.o
        np.take(self.x, rows, axis=0, out=x, mode="clip")
        y = self.y[rows]
        np.matmul(x, w1, out=h)
        h += b1
        np.maximum(h, 0, out=h)
        np.matmul(h, w2, out=o)
        o += b2
        o -= o.max(1, keepdims=True)
        np.exp(o, out=o)
        total = o.sum(1, keepdims=True)
        o /= total
        o[self.index, y] -= 1
        o /= np.float32(len(rows))
        np.matmul(o, w2.T, out=dh)
        dh *= h > 0
        np.matmul(x.T, dh, out=dw1)
        np.sum(dh, 0, out=db1)
        np.matmul(h.T, o, out=dw2)
        np.sum(o, 0, out=db2)
        for parameter, velocity, gradient in zip(self.parameters, self.velocities, self.gradients):
            velocity *= np.float32(0.9)
            velocity += gradient
            np.multiply(velocity, self.learning_rate, out=gradient)
            parameter -= gradient

    def epoch(self):
        for rows in self.rows:
            self.step(rows)

    def logits(self, x):
        w1, b1, w2, b2 = self.parameters
        h = x @ w1
        h += b1
        np.maximum(h, 0, out=h)
        return h @ w2 + b2

    def evaluate(self):
        """Only the number of correct rows; the library computes the mean loss as well."""
        return int((self.logits(self.x).argmax(1) == self.y).sum())

    def predict(self, row=0, count=2000):
        x = self.x[row]
        for _ in range(count):
            self.logits(x).argmax()


if __name__ == "__main__":
    serve(NumPy())
