"""``netassay verify MODEL DATA --store``: verdicts around inputs as a campaign, each a job of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netassay.cli.campaign_options import CampaignOptions
from netassay.cli.campaigning import Source, campaign
from netassay.cli.delivery import deliver
from netassay.cli.exit_codes import ExitCode
from netassay.cli.inputs import Inputs
from netassay.cli.options import OutputOptions
from netassay.cli.verifying import VerifyOptions
from netassay.errors import UsageError

if TYPE_CHECKING:
    from netassay.assessment.certifying import Certificates
    from netassay.numerics.norms import Norm
    from netassay.specs.property import RiskTemplate

TITLE = "Verification"


def verify_campaign(
    source: Source,
    inputs: Inputs,
    region: dict[str, Any],
    risk: RiskTemplate,
    norm: Norm,
    radius: float,
    options: VerifyOptions,
    certificates: Certificates,
    campaign_options: CampaignOptions,
    output: OutputOptions,
) -> ExitCode:
    """One verdict per input; those that the store has already are not asked for again.

    Raises:
        UsageError: For a time limit of all inputs together: verdicts would depend on which of them are finished already.
    """
    from netassay.campaigns.plan import Asked
    from netassay.results.answer import Question

    if options.seconds is not None:
        raise UsageError("--seconds does not go with --store, since it limits all inputs together; use --timeout, which limits each")
    asked = Asked(
        questions=(Question.VERIFY,),
        risks=(risk,),
        norms=(norm,),
        radii={norm: radius},
        method=options.method,
        budget=options.budget(options.limit),
        seed=options.seed,
        order=options.order,
        float32=options.float32,
        certificates=certificates,
    )
    kept = campaign(source, inputs, region, asked, campaign_options, output, title=TITLE)
    code = deliver(
        kept.answers,
        inputs.saying(dict.fromkeys([*inputs.notes, *kept.notes])),
        output,
        single=len(inputs.data) == 1,
        title=TITLE,
        scale=region["scale"],
        asked=len(inputs.data),
        store=campaign_options.url(output.out),
        missing=kept.missing,
    )
    return kept.exit_code(code)
