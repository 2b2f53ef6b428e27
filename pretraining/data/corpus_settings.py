"""Which documents stay in a corpus, and how it is split."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from .filters import filter_data

Name = Annotated[str, Field(min_length=1)]

_DEFAULTS = filter_data()["thresholds"]


class CorpusSettings(BaseModel):
    """The filters and the split. Defaults: `filters.yaml`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keywords: tuple[Name, ...] = Field((), description="Keep only documents in which one of these occurs. None: all.")
    licenses: tuple[Name, ...] = Field(
        (), description="Keep only documents with one of these licences (`permissive`: see filters.yaml). None: all."
    )
    max_bytes: int = Field(_DEFAULTS["max_bytes"], ge=1, description="Size of the largest document, in bytes.")
    max_line_mean: float = Field(
        _DEFAULTS["max_line_mean"], gt=0, description="Mean length of the lines, in characters."
    )
    max_line_length: int = Field(_DEFAULTS["max_line_length"], ge=1, description="Longest line, in characters.")
    min_alphanumeric: float = Field(
        _DEFAULTS["min_alphanumeric"], ge=0, le=1, description="Least share of letters and digits among the characters."
    )
    generated: bool = Field(True, description="Leave out files marked as generated in their first lines.")
    syntax: bool = Field(True, description="Leave out what does not parse as Python.")
    secrets: bool = Field(True, description="Leave out documents that contain what looks like a credential.")
    exact_duplicates: bool = Field(True, description="Keep one of each group of equal documents.")
    near_duplicates: bool = Field(True, description="Keep one of each group of similar documents.")
    validation_share: float = Field(
        0.1, ge=0, lt=1, description="Share of the documents that go to validation, chosen by their SHA-256."
    )
