"""Hosts of a single step: nobody is told of searches, and there is no other model to call."""

from __future__ import annotations

from fuserank_ensemble.state.settings import choose_key


class LoneHost:
    """A `Host` for steps that call nobody."""

    def call(self, model, inputs, outputs):
        raise RuntimeError(f"{model}: no other model here")

    def serves(self, model):
        return False

    def search_observer(self, bundle):
        return None

    def state(self):
        return None

    def user_key(self, bundle):
        return choose_key(None, bundle.root)

    def experiment(self):
        return None

    def at_close(self, release):
        """The step lives as long as its test."""
