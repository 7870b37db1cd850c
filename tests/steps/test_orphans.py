"""Orphans: after repair nothing hangs from what was left out, and no tree is cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ajolo_fanout.steps.additions import ROOT, Parent
from ajolo_fanout.steps.orphans import DROPPED, Known, Orphans, RemoteParent, settle

Tree = dict[int, Parent | None]


@st.composite
def trees(draw: st.DrawFn) -> tuple[Tree, set[int]]:
    """Spans by id with their parents (true ones, remote ones, missing ones), and those that are selected."""
    count = draw(st.integers(1, 24))
    tree: Tree = {}
    for span_id in range(1, count + 1):
        kind = draw(st.sampled_from(["child", "child", "child", "root", "remote", "missing"]))
        if kind == "child" and span_id > 1:
            tree[span_id] = (draw(st.integers(1, span_id - 1)), False)
        elif kind == "remote":
            tree[span_id] = (1000 + span_id, True)
        elif kind == "missing":
            tree[span_id] = (2000 + span_id, False)
        else:
            tree[span_id] = None
    chosen = draw(st.sets(st.sampled_from(sorted(tree))))
    return tree, chosen


def repaired(
    tree: Tree, chosen: set[int], orphans: Orphans, remote: RemoteParent
) -> tuple[Tree, Mapping[int, object]]:
    """What a backend gets: each sent span with the parent it has there."""

    def look(span_id: int) -> Known | None:
        return Known(sent=False, parent=tree[span_id]) if span_id in tree else None

    places = settle({one: tree[one] for one in chosen}, look, orphans, remote)
    sent: Tree = {}
    for span_id in chosen:
        place = places.get(span_id, tree[span_id])
        if place is not DROPPED:
            sent[span_id] = None if place == ROOT else place  # type: ignore[assignment]
    return sent, places


@given(trees(), st.sampled_from(get_args(Orphans)), st.sampled_from(get_args(RemoteParent)))
def test_no_sent_span_hangs_from_one_that_was_left_out(
    given_tree: tuple[Tree, set[int]], orphans: Orphans, remote: RemoteParent
) -> None:
    tree, chosen = given_tree
    sent, places = repaired(tree, chosen, orphans, remote)
    for span_id, parent in sent.items():
        if parent is None:
            continue
        if parent[1]:
            assert remote == "keep"
        elif orphans != "keep":
            assert parent[0] in sent, f"{span_id} hangs from {parent[0]}, which nobody sent"
    if orphans != "drop":
        assert set(sent) == chosen, "repair itself leaves nothing out"
    if orphans == "keep":
        assert {one for one in places if tree[one] is not None and not tree[one][1]} == set()  # type: ignore[index]


@given(trees(), st.sampled_from(get_args(RemoteParent)))
def test_reparenting_cuts_no_tree(given_tree: tuple[Tree, set[int]], remote: RemoteParent) -> None:
    """Who had a sent ancestor still has it above, and the nearest one is the parent."""
    tree, chosen = given_tree
    sent, _ = repaired(tree, chosen, "reparent", remote)
    for span_id in chosen:
        above = tree[span_id]
        while above is not None and not above[1] and above[0] not in chosen:
            above = tree.get(above[0])
        if above is not None and above[1] and remote == "promote":
            above = None
        assert sent[span_id] == above


@given(trees(), st.sampled_from(get_args(RemoteParent)))
def test_dropping_leaves_whole_trees_from_the_root_down(
    given_tree: tuple[Tree, set[int]], remote: RemoteParent
) -> None:
    tree, chosen = given_tree
    sent, _ = repaired(tree, chosen, "drop", remote)
    for span_id in chosen:
        path = [span_id]
        while (parent := tree[path[-1]]) is not None and not parent[1] and parent[0] in tree:
            path.append(parent[0])
        complete = set(path) <= chosen and (tree[path[-1]] is None or tree[path[-1]][1])  # type: ignore[index]
        assert (span_id in sent) is bool(complete)


@pytest.mark.parametrize("orphans", ["reparent", "drop"])
def test_a_circle_of_parents_ends(orphans: Orphans) -> None:
    places = settle(
        {1: (2, False)},
        {2: Known(sent=False, parent=(3, False)), 3: Known(sent=False, parent=(2, False))}.get,
        orphans,
        "keep",
    )
    assert places == {1: ROOT if orphans == "reparent" else DROPPED}
    assert settle({1: (2, False), 2: (1, False)}, lambda _: None, "drop", "keep") == {1: DROPPED, 2: DROPPED}


def test_a_trace_as_deep_as_it_likes_is_no_matter() -> None:
    """No recursion, and each span is climbed over once."""
    depth = 100_000
    asked = []

    def look(span_id: int) -> Known:
        asked.append(span_id)
        return Known(sent=False, parent=(span_id - 1, False) if span_id > 1 else None)

    leaves: Tree = {depth + n: (depth - n, False) for n in range(1, 5)}
    assert settle(leaves, look, "reparent", "keep") == dict.fromkeys(leaves, ROOT)
    assert len(asked) == depth - 1
