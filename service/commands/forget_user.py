"""`driftbell forget-user`: delete what is stored of one user."""

from pathlib import Path

import click

from driftbell.service.commands.options import configured, where_options


@click.command(name="forget-user")
@click.argument("user", metavar="HASH")
@click.option("--plain", is_flag=True, help="HASH is the id itself, as an instrumentation other than ours sent it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@where_options
def command(config_file: Path | None, data_dir: Path | None, user: str, plain: bool, yes: bool) -> None:
    """Delete the calls, spans and kept bodies of the user with this HASH, and the user's name in points.

    The hash is the user_id of the calls in the API. Whole traces go, and points are made anew without them where calls
    are still kept. Incidents that named the hash keep it. Exit code 1 when there was nothing of this user.
    """
    from driftbell.collectors.dialects.values import hashed
    from driftbell.service.stores import owned_or_beside, reading

    config = configured(config_file, data_dir)
    known = hashed(user) if plain else user
    if not yes:
        click.confirm(f"Delete everything of user {known} in {config.data_dir}?", abort=True)
    with reading(config) as store, owned_or_beside(config) as alone:
        deleted = store.delete_user(known, names=alone)
    if not deleted:
        raise click.ClickException(f"there is nothing of user {known}")
    click.echo(f"{deleted:,} calls and tasks of user {known} deleted")
