"""Options that are declared once, as fields: what click makes of them, and what the command gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
import pytest
from click.testing import CliRunner

from autoscaler.cli.options.declared import Options, argument, group, left_out, option, takes


class Place(Options):
    city: str = option(default="Rome", help="Where.")


class Address(Place):
    house_number: int = option(type=click.IntRange(1), help="Which house.")


class Parcel(Options):
    contents: tuple[str, ...] = argument(nargs=-1, required=True)
    address: Address = group(Address)
    fragile: bool = option("-f", "--fragile", is_flag=True, help="Handle with care.")
    sent_by: str | None = option("--from", help="Who sends it.")
    defaults: Mapping[str, Any] = left_out()


@click.command()
@takes(Parcel)
def send(parcel: Parcel) -> Parcel:
    """Send CONTENTS."""
    return parcel


def parcel(*arguments: str) -> Parcel:
    given: Parcel = send.main(list(arguments), standalone_mode=False)
    return given


def test_a_command_gets_its_options_as_one_value_with_groups_in_it():
    got = parcel("book", "pen", "--city", "Oslo", "--house-number", "3", "-f", "--from", "Ann")
    assert got.contents == ("book", "pen")
    assert (got.address.city, got.address.house_number) == ("Oslo", 3)
    assert (got.fragile, got.sent_by) == (True, "Ann")


def test_what_was_left_out_is_known_with_the_default_that_was_taken():
    assert parcel("book", "--house-number", "3").defaults == {
        "city": "Rome",
        "fragile": False,
        "sent_by": None,
    }


def test_help_lists_them_in_the_order_of_the_fields_a_group_where_it_stands():
    text = CliRunner().invoke(send, ["--help"]).output
    assert text.startswith("Usage: send [OPTIONS] CONTENTS...\n\n  Send CONTENTS.\n")
    places = [text.index(flag) for flag in ("--city", "--house-number", "-f, --fragile", "--from", "--help")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'CONTENTS...'."),
        (["book", "--house-number", "0"], "Invalid value for '--house-number': 0 is not in the range x>=1."),
        (["book", "--house_number", "1"], "No such option '--house_number'."),
    ],
)
def test_a_wrong_command_line_is_a_usage_error_as_clicks_own(arguments: list[str], message: str):
    result = CliRunner().invoke(send, arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())
