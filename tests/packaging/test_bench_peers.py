"""The comparison with another server (`make bench-peers`) measures warm servers: the rule, with made-up costs."""

from __future__ import annotations

from bench.peers.compare import LEAST_WARM, MOST_WARM, warmed


class Server:
    """Server whose requests cost this in the rounds, and as in the last one from then on; `asked` has the rounds."""

    def __init__(self, *costs: float) -> None:
        self.costs, self.asked = costs, list[int]()

    def cost(self, number: int) -> float:
        self.asked.append(number)
        return self.costs[min(len(self.asked), len(self.costs)) - 1]


def test_each_server_is_asked_until_two_rounds_in_a_row_agree_within_five_percent() -> None:
    java, ours = Server(17, 11, 8, 6.2, 5.5, 5.25), Server(1.0, 0.96)
    assert warmed({"java": java.cost, "ours": ours.cost}, least=2) == {"java": 6, "ours": 2}
    assert (java.asked, ours.asked) == ([0, 1, 2, 3, 4, 5], [0, 1])


def test_rounds_that_agree_with_an_earlier_one_alone_do_not_count() -> None:
    assert warmed({"one": Server(5, 9, 5, 9, 5, 5.2).cost}, least=2) == {"one": 6}


def test_costs_too_small_to_be_counted_agree() -> None:
    assert warmed({"one": Server(0.0).cost}, least=2) == {"one": 2}


def test_a_server_that_never_settles_is_given_up_and_said() -> None:
    wild = Server(*(1.0 + number % 2 for number in range(2 * MOST_WARM)))
    assert warmed({"wild": wild.cost, "ours": Server(1.0).cost}) == {"wild": None, "ours": LEAST_WARM}
    assert len(wild.asked) == MOST_WARM
