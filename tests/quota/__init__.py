import pytest

pytest.register_assert_rewrite("tests.quota.duel")
