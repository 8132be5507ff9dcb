"""Running a command as a campaign: the engine works, the store keeps, and the answers come from there."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netassay._version import __version__
from netassay.cli.campaign_options import CampaignOptions
from netassay.cli.campaign_progress import campaign_progress
from netassay.cli.delivery import command_line
from netassay.cli.exit_codes import ExitCode, worst
from netassay.cli.inputs import Inputs, load_inputs
from netassay.cli.options import ModelOptions, OutputOptions, RegionOptions
from netassay.cli.regions import region_arguments
from netassay.cli.reporting import facts, picture_layout
from netassay.errors import PropertyError

if TYPE_CHECKING:
    from netassay.campaigns.campaign import Ended
    from netassay.campaigns.executor import Executor
    from netassay.campaigns.plan import Asked
    from netassay.campaigns.subject import Subject
    from netassay.results.answer import Answer
    from netassay.store import Presentation
    from netassay.store.writer import Writer


@dataclass(frozen=True)
class Source:
    """Model and data as the command names them: each worker loads them from that.

    Args:
        model, data: The command's arguments.
        model_options, region_options: Its options.
        limit, index: Which inputs.
        folder: Where the command runs; names of files start from there.
    """

    model: str
    data: str
    model_options: ModelOptions
    region_options: RegionOptions
    limit: int | None
    index: int | None
    folder: str = field(default_factory=os.getcwd)

    def __call__(self) -> Subject:
        with chdir(self.folder):
            inputs = load_inputs(self.model, self.data, self.model_options, limit=self.limit, index=self.index)
            return subject_of(inputs, region_arguments(self.region_options, inputs.network))


@dataclass(frozen=True)
class Kept:
    """What a campaign has given.

    Args:
        answers: All that are finished, those of earlier runs included.
        notes: Of inputs that were left out, and of jobs that failed.
        missing: Answers that were asked for and are not there, for whatever reason.
        code: The exit code that the campaign itself calls for.
    """

    answers: Sequence[Answer]
    notes: tuple[str, ...]
    missing: int
    code: ExitCode

    def exit_code(self, delivered: ExitCode) -> ExitCode:
        """The worse of that and the code of what was delivered."""
        return worst([self.code, delivered])


def subject_of(inputs: Inputs, region: dict[str, Any]) -> Subject:
    """What a campaign asks about."""
    from netassay.campaigns.subject import Subject

    return Subject(inputs.network, inputs.data.inputs, inputs.data.labels, inputs.data.indices, region)


def campaign(
    source: Source,
    inputs: Inputs,
    region: dict[str, Any],
    asked: Asked,
    options: CampaignOptions,
    output: OutputOptions,
    *,
    title: str,
) -> Kept:
    """Asks what the store does not know yet, and gives all answers.

    Args:
        source: Where workers load model and data from.
        inputs, region: The same, loaded.
        asked: The questions.
        options: Where results are kept, and who works.
        output: Folder of the default store; whether to say anything.
        title: Of the campaign.
    Raises:
        StoreError: If the store cannot be opened or written.
        PropertyError: If the risk could not be bound to any input.
    """
    from netassay.campaigns.campaign import run
    from netassay.campaigns.plan import plan
    from netassay.store.writer import Heading, open_writer

    subject = subject_of(inputs, region)
    with open_writer(options.url(output.out)) as writer:
        jobs = plan(subject, asked)
        heading = Heading(
            command=command_line(),
            title=title,
            model=inputs.network.name,
            model_sha256=inputs.network.sha256,
            data=source.data,
            tool_version=__version__,
            presentation=_presentation(inputs, region),
        )
        with (
            _engine(source, subject, asked, options) as (executor, workers),
            campaign_progress(quiet=output.quiet or output.json) as told,
        ):
            ended = run(jobs, executor, writer, heading, ahead=2 * workers, progress=told)
        return _kept(writer, ended, quiet=output.quiet)


def _kept(writer: Writer, ended: Ended, *, quiet: bool) -> Kept:
    store, standing = writer.store(), ended.standing
    answers = list(store.answers(ended.campaign))
    left_out = store.left_out(ended.campaign)
    if left_out and not answers and not ended.interrupted and not standing.failed:
        raise PropertyError(left_out[0][1])
    if not quiet:
        reused = f"reused {standing.reused:,} of {standing.asked:,} results"
        print(f"{reused}; {standing.done:,} new; store {writer.database.name}, campaign {ended.campaign}", file=sys.stderr)
    notes = [f"input {index} is left out of one risk: {why}" for index, why in left_out]
    if standing.failed:
        reasons = "; ".join(dict.fromkeys(ended.reasons))[:1000]
        notes.append(f"{standing.failed:,} answers are missing, since their jobs failed ({reasons}); the same command tries them again")
    code = ExitCode.UNKNOWN if standing.failed else ExitCode.OK
    missing = standing.asked - len(answers) - len(left_out)
    return Kept(answers, tuple(notes), missing, ExitCode.INTERRUPTED if ended.interrupted else code)


@contextmanager
def _engine(source: Source, subject: Subject, asked: Asked, options: CampaignOptions) -> Iterator[tuple[Executor, int]]:
    """The engine and the number of its workers; it ends with the block."""
    from netassay.campaigns.executor import Limits, Work
    from netassay.campaigns.runner import Runner
    from netassay.campaigns.source import tool

    runner = Runner(source, asked, subject.identity(), tool())
    limits, device = Limits(options.limit), subject.network.device
    gpus = 0 if device == "cpu" else 1
    executor: Executor
    if options.engine == "ray":
        from netassay.campaigns.ray_engine import RayExecutor, connected

        with connected(options.address) as cluster:
            workers = options.workers or (cluster.gpus if gpus else cluster.cores)
            held = runner.holding(subject)
            try:
                executor = RayExecutor(Work(held, held.prepare, gpus), workers, limits)
            except TypeError:  # what cannot be sent is loaded by each worker from the same place
                executor = RayExecutor(Work(runner, runner.prepare, gpus), workers, limits)
            with executor:
                yield executor, workers
    else:
        from netassay.campaigns.local import LocalExecutor

        workers = options.workers or (1 if gpus else len(os.sched_getaffinity(0)))
        with LocalExecutor(Work(runner, runner.prepare), workers, limits) as executor:
            yield executor, workers


def _presentation(inputs: Inputs, region: dict[str, Any]) -> Presentation:
    """What a report needs to know beside the answers."""
    from netassay.store import Presentation

    network, data = inputs.network, inputs.data
    return Presentation(
        input_shape=network.input_shape,
        image_layout=picture_layout(network.input_shape, data.source_shape),
        label_names=data.label_names,
        feature_names=data.feature_names,
        output_meaning=str(network.convention.meaning),
        decision=str(network.convention.decision),
        facts=facts(network),
        notes=inputs.notes,
        lower=network.domain.lower,
        upper=network.domain.upper,
        scale=region["scale"],
    )
