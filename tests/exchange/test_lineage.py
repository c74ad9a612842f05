"""Where two histories part."""

from __future__ import annotations

from services.exchange.lineage import Life, common


def _lineage(*lives: tuple[str, int]) -> list[Life]:
    return [Life(*life) for life in lives]


FIRST = _lineage(("a", 0))


def test_within_one_life_it_is_what_both_have() -> None:
    assert common(FIRST, 40, FIRST, 55) == 40
    assert common(FIRST, 55, FIRST, 40) == 40


def test_a_failover_without_loss_covers_all_the_site_has_seen() -> None:
    assert common(FIRST, 40, _lineage(("a", 0), ("b", 55)), 70) == 40


def test_a_central_put_back_from_a_backup_has_forgotten_what_came_after_it() -> None:
    assert common(FIRST, 40, _lineage(("a", 0), ("b", 25)), 90) == 25


def test_a_second_restore_from_the_same_branch_is_found_where_the_older_history_ends() -> None:
    ours = _lineage(("a", 0), ("b", 25))
    assert common(ours, 60, _lineage(("a", 0), ("c", 30)), 90) == 25
    assert common(ours, 60, _lineage(("a", 0), ("c", 20)), 90) == 20
    assert common(ours, 60, _lineage(("a", 0), ("b", 25), ("c", 50)), 90) == 50


def test_a_restore_from_before_the_last_one_goes_back_to_the_life_both_share() -> None:
    ours = _lineage(("a", 0), ("b", 25), ("c", 50))
    assert common(ours, 70, _lineage(("a", 0), ("b", 25), ("d", 40)), 45) == 40


def test_the_site_that_had_not_yet_seen_the_life_it_has_heard_of_has_no_more_than_it_has_seen() -> None:
    ours = _lineage(("a", 0), ("b", 50))
    assert common(ours, 30, _lineage(("a", 0), ("b", 50)), 60) == 30
    assert common(ours, 30, _lineage(("a", 0), ("c", 40)), 60) == 30


def test_histories_that_share_no_life_share_nothing() -> None:
    assert common(FIRST, 40, _lineage(("z", 0)), 90) == 0
    assert common(_lineage(("a", 5)), 40, _lineage(("z", 7)), 90) == 0
    assert common([], 0, FIRST, 90) == 0
    assert common(_lineage(("a", 0)), 40, _lineage(("a", 7)), 90) == 0


def test_it_is_the_same_from_either_side() -> None:
    a, b = _lineage(("a", 0), ("b", 25)), _lineage(("a", 0), ("c", 20))
    assert common(a, 60, b, 90) == common(b, 90, a, 60)
