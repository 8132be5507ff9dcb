"""Model and data as a command names them, ready to be asked about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from netassay.cli import parsing
from netassay.cli.options import ModelOptions
from netassay.errors import RegionError, UsageError

if TYPE_CHECKING:
    from netassay.models.network import Network
    from netassay.numerics.box import Box
    from netassay.specs.data_limits import Arrays
    from netassay.specs.datasets import Dataset


@dataclass(frozen=True, eq=False)
class Inputs:
    """A network whose domain is settled, data that fit it, and what there is to say about both."""

    network: Network
    data: Dataset
    notes: tuple[str, ...]

    def saying(self, notes: Iterable[str]) -> Inputs:
        """The same with other notes."""
        return replace(self, notes=tuple(notes))


def load_model(reference: str, options: ModelOptions, input_shape: tuple[int, ...] | None = None) -> Network:
    """The network, with the conventions of the options; a factory's model that states no input shape takes ``input_shape``."""
    from netassay.models.load import load_network
    from netassay.models.scores import Decision, Meaning

    meaning = None if options.outputs is None else parsing.choice(options.outputs, Meaning, "--outputs")
    return load_network(
        reference,
        outputs=meaning,
        decision=parsing.choice(options.decision, Decision, "--decision"),
        mean=parsing.per_channel(options.mean, "--mean"),
        std=parsing.per_channel(options.std, "--std"),
        device=usable_device(options.device),
        trust=options.trust,
        input_shape=input_shape,
    )


def load_specified(reference: str, options: ModelOptions) -> Network:
    """The network that a specification is about: its raw outputs, a final softmax included; without torch where that suffices."""
    plain = replace(options, trust=False) == ModelOptions(domain=options.domain)
    if plain and reference.lower().endswith(".onnx"):
        from netassay.assessment.light import light_network

        network = light_network(reference)
        if network is not None:
            return network
    return load_model(reference, options if options.outputs is not None else replace(options, outputs="values"))


def load_inputs(model: str, data: str, options: ModelOptions, *, limit: int | None = None, index: int | None = None) -> Inputs:
    """Reads both, and settles the domain: ``--domain`` if given, else what model and data say together."""
    from netassay.specs.data_files import read_arrays
    from netassay.specs.datasets import build

    arrays, notes = read_arrays(data, label_column=options.label_column)
    network = load_model(model, options, _shape_of(arrays) if ":" in model else None)
    if options.domain is not None and options.domain != "data":
        network = network.with_domain(parsing.domain(options.domain, network.input_shape))
    dataset = build(data, arrays, network, limit=limit, index=index, notes=tuple(notes))
    said = [*network.notes, *dataset.notes]
    if options.domain == "data":
        network = network.with_domain(_observed(data, arrays, network, said))
    elif options.domain is None and dataset.domain is not None:
        network = network.with_domain(_common(network.domain, dataset.domain))
    if not network.domain.bounded:
        said.append("the input domain is not bounded, so a witness may be no valid input; give --domain LO,HI if inputs are limited")
    return Inputs(network, dataset, tuple(dict.fromkeys(said)))


def without_data(network: Network) -> Inputs:
    """For regions that lie around no input of a data set."""
    import numpy as np

    from netassay.specs.datasets import Dataset

    nothing = Dataset(inputs=np.zeros((0, *network.input_shape)), labels=None, domain=None, indices=np.zeros(0, dtype=np.int64))
    return Inputs(network, nothing, network.notes)


def _shape_of(arrays: Arrays) -> tuple[int, ...] | None:
    """The shape of one input of DATA, channels first; None where the inputs have none."""
    from netassay.specs.data_files import input_shape
    from netassay.specs.layouts import channels_first

    shape = input_shape(arrays)
    return None if shape is None else channels_first(shape)


def usable_device(name: str) -> str:
    """The name of a torch device that this machine has."""
    import torch

    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UsageError(f"--device {name!r} cannot be used here ({str(error).splitlines()[0]}); try cpu") from error
    return name


def _observed(data: str, arrays: Arrays, network: Network, said: list[str]) -> Box:
    """The range of each feature over the whole data set."""
    from netassay.numerics.box import Box
    from netassay.specs.datasets import build

    everything = build(data, arrays, network)
    said.append(f"the input domain is the range of each feature over the {len(everything)} inputs of {data}")
    return Box(everything.inputs.min(axis=0), everything.inputs.max(axis=0))


def _common(own: Box, of_data: Box) -> Box:
    try:
        return own.intersect(of_data)
    except RegionError as error:
        raise UsageError(f"the domains of model and data have no point in common ({error}); say which holds: --domain LO,HI") from error
