"""JAX: a whole epoch as one compiled scan over the batches."""

import jax
import jax.numpy as jnp
import numpy as np

from worker import as_floats, features_and_labels, serve


def loss(parameters, x, y):
    w1, b1, w2, b2 = parameters
    logits = jax.nn.relu(x @ w1 + b1) @ w2 + b2
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()


class JAX:
    name, version = "JAX", jax.__version__

    def prepare(self, **workload):
        features, labels = features_and_labels(workload)
        x, y = jnp.asarray(as_floats(features)), jnp.asarray(np.asarray(labels), jnp.int32)
        inputs, hidden, outputs = x.shape[1], workload["hidden"], workload["outputs"]
        steps, batch, rate = workload["steps"], workload["batch"], workload["learning_rate"]
        random = np.random.default_rng(0)

        def draw(terms, *shape):
            return jnp.asarray((random.uniform(-1, 1, shape) / np.sqrt(terms)).astype(np.float32))

        parameters = [draw(inputs, inputs, hidden), draw(inputs, hidden)]
        parameters += [draw(hidden, hidden, outputs), draw(hidden, outputs)]

        def step(state, rows):
            parameters, velocities = state
            value, gradients = jax.value_and_grad(loss)(parameters, x[rows], y[rows])
            velocities = [0.9 * v + g for v, g in zip(velocities, gradients)]
            return ([p - rate * v for p, v in zip(parameters, velocities)], velocities), value

        def scan(state, key):
            order = jax.random.permutation(key, len(x))[: steps * batch].reshape(steps, batch)
            return jax.lax.scan(step, state, order)

        self.scan = jax.jit(scan)
        self.state = parameters, [jnp.zeros_like(p) for p in parameters]
        self.key = jax.random.PRNGKey(0)
        self.epoch()

    def epoch(self):
        self.key, key = jax.random.split(self.key)
        self.state, losses = self.scan(self.state, key)
        losses.block_until_ready()


if __name__ == "__main__":
    serve(JAX())
