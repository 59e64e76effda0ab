"""Names become components, components become seconds, and a replica's draw depends on nothing else."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.errors import ProfileError
from simulator.startup.choices import component_names, load_startup
from simulator.startup.components import components
from simulator.startup.plan import REFERENCE, Spread, StartupModel, profile_model, sized
from simulator.vllm.profile import load_profile, profile_yaml

GEMMA = load_profile("gemma2-9b-h100")


@pytest.mark.parametrize(
    ("name", "parts", "seconds"),
    [
        ("warm-node", "warm-node cached-image gcsfuse-parallel page-cache slow-imports compile-cache", 124.4),
        ("eager", "warm-node cached-image gcsfuse-parallel page-cache slow-imports eager", 90.4),
        (
            "new-node",
            "standard-node image-streaming gcsfuse-parallel page-cache slow-imports first-start",
            453.4,
        ),
        (
            "quick-imports+new-node+pd-ssd",
            "standard-node image-streaming pd-ssd safetensors quick-imports first-start",
            447.0,
        ),
        ("new-node-plain", "standard-node plain-pull gcsfuse page-cache slow-imports first-start", 752.7),
        (
            "hyperdisk-ml+secondary-boot-disk",
            "warm-node secondary-boot-disk hyperdisk-ml safetensors slow-imports compile-cache",
            159.0,
        ),
        (
            "secondary-boot-disk+hyperdisk-ml",
            "warm-node secondary-boot-disk hyperdisk-ml safetensors slow-imports compile-cache",
            159.0,
        ),
        (
            "pd-ssd+streamer+standard-node+eager",
            "standard-node image-streaming pd-ssd streamer slow-imports eager",
            353.5,
        ),
        (
            "quick-imports+shared-compile-cache",
            "warm-node cached-image gcsfuse-parallel page-cache quick-imports shared-compile-cache",
            125.4,
        ),
        ("hf-hub", "warm-node cached-image hf-hub safetensors slow-imports compile-cache", 221.2),
    ],
)
def test_a_list_of_names_takes_the_usual_components_for_the_rest(name, parts, seconds):
    startup = load_startup(name)
    assert startup.components == tuple(parts.split())
    assert startup.total_s(GEMMA) == pytest.approx(seconds, abs=0.1)


@pytest.mark.parametrize(("text", "seconds"), [("30", 30.0), ("0", 0.0), ("2.5s", 2.5), ("86400", 86400.0)])
def test_seconds_are_a_start_without_phases(text, seconds):
    startup = load_startup(text)
    assert startup.total_s(GEMMA) == seconds
    assert startup.spread == Spread()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("slow", "'slow' is not known"),
        ("new-node+new-node-plain", "new-node and new-node-plain are both presets: choose one"),
        ("pd-ssd+slow", "'slow' is not known"),
        ("hyperdisk", "'hyperdisk' is not known (did you mean hyperdisk-ml?): must be"),
        ("pd-ssd+", "'' is not known"),
        ("pd-ssd+gcsfuse", "pd-ssd and gcsfuse are both weights components"),
        ("-1", "from 0 to 86400"),
        ("nan", "from 0 to 86400"),
        ("inf", "from 0 to 86400"),
    ],
)
def test_a_wrong_name_is_refused_with_what_would_be_right(text, message):
    with pytest.raises(ProfileError, match=r"--startup") as caught:
        load_startup(text)
    assert message in str(caught.value)


def test_every_component_can_be_named_alone_and_says_where_its_numbers_are_from():
    for phase, names in component_names().items():
        for name in names:
            startup = load_startup(name)
            assert startup.name == name, phase
            assert all(startup.sources.values())
    known = components()
    parts = (*known.nodes, *known.images, *known.weights, *known.loaders, *known.imports, *known.engines)
    assert {part.source.split(",")[0] for part in parts} == {"assumed", "derived", "measured", "reported"}
    assert len({part.name for part in parts}) == len(parts)


def test_equal_seeds_give_equal_draws_and_replicas_differ():
    startup = load_startup("new-node")
    draws = [startup.draw(sized(18e9), 1, replica) for replica in range(5)]
    assert draws == [startup.draw(sized(18e9), 1, replica) for replica in range(5)]
    assert len({draw.total_s for draw in draws}) == 5
    assert draws[0] != startup.draw(sized(18e9), 2, 0)


def test_without_spread_every_replica_takes_the_median():
    startup = load_startup("new-node").without_spread()
    assert startup.draw(sized(18e9), 1, 7) == startup.median(sized(18e9))


def test_draws_have_the_median_and_the_p95_that_were_asked_for():
    startup = StartupModel(name="t", node_s=100.0, engine_s=10.0, spread=Spread(node=1.5))
    nodes = sorted(startup.draw(sized(0.0), 0, replica).node_s for replica in range(4000))
    assert median(nodes) == pytest.approx(100.0, rel=0.02)
    assert nodes[3800] == pytest.approx(150.0, rel=0.03)
    assert startup.draw(sized(0.0), 0, 3).engine_s == 10.0


@given(st.floats(1e6, 1e12), st.floats(1.0, 10.0))
def test_a_bigger_model_never_starts_faster(weights, factor):
    startup = load_startup("gcsfuse")
    assert startup.median(sized(weights * factor)).total_s >= startup.median(sized(weights)).total_s


def test_the_measured_engine_starts_come_back():
    for name, seconds in (("first-start", 161.0), ("compile-cache", 92.0), ("eager", 58.0)):
        assert load_startup(name).median(REFERENCE).engine_s == seconds


@given(st.floats(1e6, 1e12), st.integers(1, 200))
def test_an_engine_takes_as_long_as_its_layers_whatever_their_size(weights, layers):
    startup = load_startup("eager")
    engine_s = startup.median(sized(weights, layers)).engine_s
    assert engine_s == pytest.approx(57 + layers / 42)


def test_a_profile_without_layers_has_those_usual_for_its_size():
    assert profile_model(replace(GEMMA, layers=None)) == REFERENCE
    stage = profile_model(load_profile("llama3.1-405b-h100-tp8-pp2"))
    assert stage.layers == 126 / 2


def test_a_profile_is_written_without_the_layers_that_nobody_gave():
    assert "layers" not in profile_yaml(replace(GEMMA, layers=None))
    assert profile_yaml(GEMMA).endswith("\nlayers: 42\n")
