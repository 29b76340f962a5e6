"""The guide: pages about the tool as a whole, one Markdown file each. `ckpt-inspect explain TOPIC` prints them."""

from __future__ import annotations

from importlib.resources import files

from ckpt_inspect.records import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """One page."""

    name: str
    """What `explain` is asked for, in kebab-case; the page's file has the same name."""
    title: str
    """The page's heading."""

    def text(self) -> str:
        """Return the page in Markdown; its first line is `# ` and the title."""
        return files(__name__).joinpath(f"{self.name}.md").read_text(encoding="utf-8")


TOPICS: tuple[Topic, ...] = (
    Topic("formulas", "What the numbers mean"),
    Topic("sources", "Where a value comes from"),
    Topic("findings", "What deserves attention in a run"),
    Topic("comparing", "What changed between two checkpoints"),
    Topic("checking", "Can these checkpoints be relied on"),
    Topic("formats", "Which files are read"),
    Topic("layouts", "Whose optimizer state is understood"),
    Topic("following", "A training that goes on"),
    Topic("workers", "Several processes, and machines"),
    Topic("store", "What the HDF5 store holds"),
    Topic("damage", "What damaged input gets"),
    Topic("python", "The same from Python"),
    Topic("command-line", "Commands, options and exit codes"),
    Topic("speed", "How fast it is, and how much memory it takes"),
    Topic("systems", "Where it runs and what it installs"),
    Topic("adding", "Where an addition goes"),
)
"""Every page, in the order in which a reader would want them."""


def find_topic(name: str) -> Topic | None:
    """Return the topic of that name, or None; `Command Line` and `command_line` are `command-line`."""
    plain = name.strip().lower().replace("_", "-").replace(" ", "-")
    return next((topic for topic in TOPICS if topic.name == plain), None)
