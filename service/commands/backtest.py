"""`driftbell backtest`: any series of numbers through a detector, row by row."""

import json
from pathlib import Path

import click


@click.command(name="backtest")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write rows and episodes to this file as JSON.")
def command(out: Path | None, file: Path) -> None:
    """Score any 'timestamp,value' series, online.

    FILE is CSV with these two columns. Each row gets a score: -log10 of the chance of this or worse while all is
    normal. Rows are taken in the order of time; where rows are missing the time of day goes on. Without --json the
    scored rows are printed as CSV and the episodes go to stderr.
    """
    from driftbell.detectors.backtest import BadSeriesError, episodes, read_series, score_rows
    from driftbell.service.failure import Failure

    if not file.is_file():
        raise Failure(f"cannot read {file}: there is no such file")
    try:
        rows, step = read_series(file)
    except (BadSeriesError, UnicodeDecodeError) as error:
        raise Failure(str(error)) from None
    scored = list(score_rows(rows, step))
    found = episodes(scored)
    if out is not None:
        body = {"rows": [row._asdict() for row in scored], "episodes": [episode._asdict() for episode in found]}
        try:
            out.write_text(json.dumps(body), encoding="utf-8")
        except OSError as error:
            raise Failure(f"cannot write {out}: {error.strerror}") from None
    else:
        click.echo("timestamp,value,score")
        for row in scored:
            value = "" if row.value is None else repr(row.value)
            click.echo(f"{row.timestamp},{value},{'' if row.score is None else format(row.score, '.4f')}")
    click.echo(f"{len(scored)} rows, {len(found)} episodes", err=out is None)
    for episode in found:
        click.echo(
            f"{episode.start} to {episode.end}: {episode.rows} rows, score up to {episode.peak:.1f}", err=out is None
        )
