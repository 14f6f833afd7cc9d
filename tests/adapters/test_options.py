"""Options of a patch: named, typed, and refused where they would do nothing."""

import inspect
from dataclasses import fields, replace
from functools import partial
from typing import get_type_hints

import hosts
import pytest

import adapters
from htp_modules import HTP, ConfigError, HTPConfig

HOSTS = ["mixste", "d3dp", "motionbert", "finepose", "ktpformer", "stcformer"]
PATCHES = ["patch", "patch_with", *(f"patch_{host}" for host in HOSTS)]


@pytest.mark.parametrize("name", PATCHES)
def test_every_option_of_the_config_is_an_argument(name):
    function = getattr(adapters, name)
    parameters = list(inspect.signature(function).parameters.values())[1 if name == "patch_with" else 0 :]
    assert [p.name for p in parameters[:2]] == ["model", "config"]
    options = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    assert options == ["from_scratch", *(field.name for field in fields(HTPConfig))]
    assert "Prune a host's time axis" in (function.__doc__ or "")


@pytest.mark.unhooked  # the run-time type checks replace the annotations
def test_every_argument_has_the_type_of_the_option():
    function = adapters.patch.func if isinstance(adapters.patch, partial) else adapters.patch
    arguments, options = get_type_hints(function), get_type_hints(HTPConfig)
    assert {name: arguments[name] for name in options} == {
        name: kind | None for name, kind in options.items()
    }


def test_each_argument_reaches_the_config():
    given = {
        "num_neighbors": 4,
        "num_keep": 3,
        "num_sft_layers": 2,
        "density_neighbors": 3,
        "recovery": "interpolate",
        "spatial_gcn": False,
        "required": ("first",),
    }
    assert set(given) == {field.name for field in fields(HTPConfig)}
    for name, value in given.items():
        expected = replace(HTPConfig(num_sft_layers=0), **{name: value})
        model = adapters.patch(hosts.PUBLIC[0].make(), HTPConfig(num_sft_layers=0), **{name: value})
        assert model.htp.config == expected


@pytest.mark.unhooked
@pytest.mark.parametrize("name", [field.name for field in fields(HTPConfig)])
def test_an_option_set_on_the_module_is_refused(name):
    patched = adapters.patch(hosts.PUBLIC[0].make(), num_sft_layers=1)
    for htp in (HTP(8, 9, 2), patched.htp):
        config = htp.config
        with pytest.raises(
            ConfigError,
            match=rf"{name} is an option of the config.* dataclasses.replace\(htp\.config, {name}=7\)",
        ):
            setattr(htp, name, 7)
        assert htp.config is config
