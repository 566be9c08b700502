"""Going back to the generation before the active one: the rule, the command, the admin."""

import io

import pytest
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from gallery.index import generations
from gallery.models import IndexGeneration
from tests.gallery.rows import add_image
from tests.gallery.test_generations import built, failed_build, now

pytestmark = pytest.mark.django_db

LIST = "admin:gallery_indexgeneration_changelist"
REFUSAL = "There is no earlier generation of this model to go back to."


def command() -> str:
    out = io.StringIO()
    call_command("build_index", "--rollback", stdout=out)
    return out.getvalue()


def choose(client: Client, *rows: IndexGeneration) -> str:
    chosen = {"action": "activate", ACTION_CHECKBOX_NAME: [str(row.pk) for row in rows]}
    return client.post(reverse(LIST), chosen, follow=True).content.decode()


def test_the_one_before_is_active_again() -> None:
    first, second = built(images=7), built(images=8)
    activated_at = now(first).activated_at
    assert generations.roll_back() == first
    assert generations.active() == first
    assert (now(second).is_active, now(second).state) == (False, "ready")
    again = now(first).activated_at
    assert activated_at is not None
    assert again is not None
    assert again > activated_at


def test_each_time_one_further_back() -> None:
    first, second, _third = built(), built(), built()
    assert [generations.roll_back(), generations.roll_back()] == [second, first]


def test_a_failed_one_and_one_under_way_are_passed_over() -> None:
    first = built()
    failed_build()
    built()
    generations.start("efficientnet_lite0")
    assert generations.roll_back() == first


def test_one_of_another_model_is_passed_over() -> None:
    first = built()
    generations.serve(built(model_id="alexnet"))
    generations.serve(built())
    assert generations.roll_back() == first


@pytest.mark.parametrize("before", ["nothing", "a failed build", "another model"])
def test_without_an_earlier_one_everything_stays(before: str) -> None:
    if before == "a failed build":
        failed_build()
    if before == "another model":
        built(model_id="alexnet")
    only = built()
    generations.serve(only)
    with pytest.raises(generations.NothingToGoBackTo, match=REFUSAL):
        generations.roll_back()
    assert generations.active() == only


def test_without_any_generation_there_is_nothing_to_go_back_to() -> None:
    with pytest.raises(generations.NothingToGoBackTo, match=REFUSAL):
        generations.roll_back()


def test_the_next_build_takes_over_again() -> None:
    built()
    built()
    generations.roll_back()
    third = built()
    assert generations.active() == third


# By hand


def test_the_command_says_what_is_active() -> None:
    first = built(images=7)
    built(images=8)
    assert command() == f"Active: generation {first.number} with 7 pictures by efficientnet_lite0.\n"
    assert generations.active() == first


def test_the_command_refuses_in_one_line() -> None:
    only = built()
    with pytest.raises(CommandError) as refused:
        command()
    assert str(refused.value) == REFUSAL
    assert generations.active() == only


def test_the_selected_one_becomes_active_back_and_forth(curator: Client) -> None:
    first, second, _third = built(), built(), built()
    for chosen in (first, second, first):
        assert f"Generation {chosen.number} is active now." in choose(curator, chosen)
        assert generations.active() == chosen


def test_the_action_refuses_with_a_message(curator: Client) -> None:
    failed_build()
    failed, (only, other) = IndexGeneration.objects.get(), (built(), built(model_id="alexnet"))
    assert "Only a generation that is ready" in choose(curator, failed)
    assert "Select one generation." in choose(curator, only, failed)
    add_image()
    assert "has not embedded every picture" in choose(curator, other)
    assert generations.active() == only


def test_who_is_no_curator_goes_nowhere(member: Client, visitor: Client) -> None:
    first, second = built(), built()
    for client in (member, visitor):
        choose(client, first)
    assert generations.active() == second
