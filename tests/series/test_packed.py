"""What is packed is what it was, whatever is asked of it."""

from __future__ import annotations

import builtins
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_inspect.series import packed
from ckpt_inspect.series.packed import ByPlace, Chosen, Packed, Places

TEXTS = st.lists(
    st.one_of(st.text(), st.from_regex(r"/run/ckpt-\\d{1,3}", fullmatch=True), st.just("\udcff")), max_size=20
)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "_BLOCK", 3)


@given(TEXTS, TEXTS, st.slices(20), st.lists(st.integers(-30, 30)))
def test_packed_texts_are_a_list_of_them(texts: list[str], more: list[str], some: slice, numbers: list[int]) -> None:
    """In any order, from either end, and when others come."""
    own = Packed(texts)
    for _ in range(2):
        assert len(own) == len(texts)
        assert list(own) == texts
        assert own == texts
        assert own == Packed(texts)
        assert (own == more) == (texts == more)
        assert own[some] == tuple(texts[some])
        assert hash(own) == hash(tuple(texts))
        for number in numbers:
            if -len(texts) <= number < len(texts):
                assert own[number] == texts[number]
            else:
                with pytest.raises(IndexError):
                    own[number]
        own.extend(more)
        texts = texts + more


@given(TEXTS, TEXTS)
def test_what_is_made_of_the_packed(texts: list[str], more: list[str]) -> None:
    """Others share its memory, and none sees what comes behind another."""
    paths = Packed(map(Path, texts), str, Path)
    wanted = [Path(str(Path(text))) for text in texts]
    assert paths == wanted
    assert paths.seen_as(None) == list(map(str, wanted))
    longer = paths.with_more(map(Path, more), str)
    assert longer == [*wanted, *map(Path, more)]
    assert paths == wanted


@given(TEXTS, st.data())
def test_chosen(texts: list[str], data: st.DataObject) -> None:
    """Some of a sequence, in any order."""
    places = data.draw(st.lists(st.integers(0, len(texts) - 1))) if texts else []
    assert Chosen(texts, np.array(places, np.int64)) == [texts[place] for place in places]


@pytest.mark.parametrize("has_twins", [False, True])
@given(texts=TEXTS, others=TEXTS)
def test_places(has_twins: bool, texts: list[str], others: list[str]) -> None:
    """As a dict of them has it, also where different texts have the same hash."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "hash", (lambda text: len(text) % 2) if has_twins else builtins.hash, raising=False)
        expected = {text: place for place, text in enumerate(texts)}
        for own in (Places(texts), Places(Packed(texts))):
            assert own == expected
            asked = [*others, *texts]
            assert [own.get(text, -1) for text in asked] == [expected.get(text, -1) for text in asked]
            assert [own.get(text) for text in asked] == [expected.get(text) for text in asked]


@given(st.lists(st.text(), unique=True, min_size=1, max_size=20), st.data())
def test_texts_by_place(texts: list[str], data: st.DataObject) -> None:
    """As a dict is, whatever is put in and taken out."""
    own, expected = ByPlace(texts), dict[str, str]()
    value = st.one_of(st.text().map(lambda text: text.rstrip("\0")), st.just("\udcff"))
    for text, content in data.draw(st.lists(st.tuples(st.sampled_from(texts), st.one_of(st.none(), value)))):
        if content is not None:
            own[text] = expected[text] = content
        elif text in expected:
            del own[text], expected[text]
        else:
            with pytest.raises(KeyError):
                del own[text]
        assert own == expected
        assert len(own) == len(expected)
    assert list(own) == [text for text in texts if text in expected]


def test_what_follows_each_other_takes_little() -> None:
    """Of many, and though a text of Python's takes a hundred bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "_BLOCK", 256)
        own = Packed(f"/a/folder/of/checkpoints/ckpt-{n}" for n in range(10_000))
    assert sum(map(len, own._blocks)) < 10 * len(own)
