"""One key of users for all that a run of tests makes, so that any of its states fits any of its bundles."""

from __future__ import annotations

from fuserank_ensemble.state.identity import KEY_BYTES, IdentityKey

TEST_SECRET = "5e" * KEY_BYTES
TEST_KEY = IdentityKey(bytes.fromhex(TEST_SECRET))
