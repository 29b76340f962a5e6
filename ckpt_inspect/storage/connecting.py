"""Opens a bucket or a host: where its credentials, region and endpoint are found, and how long it is waited for.

obstore takes credentials, regions and endpoints from the environment variables of each provider (`AWS_*`, `GOOGLE_*`,
`AZURE_*`). What it leaves out is added here: AWS' configuration files, and the variable by which Google's emulators
are named.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ckpt_inspect.errors import RequestError
from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.causes import first_line
from ckpt_inspect.storage.credentials import authorization_of

if TYPE_CHECKING:
    from obstore.store import ClientConfig, GCSConfig, ObjectStore, RetryConfig, S3Config

GIVE_UP = 20.0
"""Seconds after which a server that doesn't answer is given up."""
STALL = 10.0
"""Seconds without a byte after which an answer is asked for anew."""
REQUEST = 300.0
"""Seconds that one answer may take, all its bytes included."""
RETRIES = 6
"""How often a request is made anew that failed for a reason that may pass."""


def connect(root: Address, query: str = "") -> ObjectStore:
    """Return obstore's store of a bucket or a host; `query` goes with each request to a host."""
    from obstore import store

    client: ClientConfig = {
        "connect_timeout": timedelta(seconds=5),
        "timeout": timedelta(seconds=REQUEST),
        "read_timeout": timedelta(seconds=STALL),
        "allow_http": True,
    }
    retry: RetryConfig = {"max_retries": RETRIES, "retry_timeout": timedelta(seconds=GIVE_UP)}
    scheme, place = root.scheme, root.place
    if scheme in ("http", "https"):
        if authorization := authorization_of(str(root)):
            client["default_headers"] = {"Authorization": authorization}
        url = f"{scheme}://{place}/{'?' if query else ''}{query}"
        web: ObjectStore = store.HTTPStore.from_url(url, client_options=client, retry_config=retry)
        return web
    if scheme == "s3":
        return store.S3Store(place, config=aws_settings(), client_options=client, retry_config=retry)
    if scheme == "gs":
        return store.GCSStore(place, config=_google_settings(), client_options=client, retry_config=retry)
    return store.AzureStore(place, client_options=client, retry_config=retry)


def aws_settings() -> S3Config:
    """Return what AWS' configuration files say of the profile in use, where no environment variable says it.

    Without any credentials at all requests are not signed, as public buckets want them.
    """
    env = os.environ
    folder = Path.home() / ".aws"
    profile = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or "default"
    found: dict[str, str] = {}
    for variable, name, section in (
        ("AWS_CONFIG_FILE", "config", profile if profile == "default" else f"profile {profile}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", profile),
    ):
        parser = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            parser.read(env.get(variable) or folder / name, "utf-8")
        except (configparser.Error, OSError, UnicodeError):
            continue
        if parser.has_section(section):
            found |= dict(parser.items(section))

    def of_file(ours: str, *variables: str) -> str | None:
        return None if any(env.get(variable) for variable in variables) else found.get(ours)

    settings: S3Config = {}
    if (key := of_file("aws_access_key_id", "AWS_ACCESS_KEY_ID")) is not None:
        settings["access_key_id"] = key
        settings["secret_access_key"] = found.get("aws_secret_access_key", "")
        if token := found.get("aws_session_token"):
            settings["session_token"] = token
    if region := of_file("region", "AWS_REGION", "AWS_DEFAULT_REGION"):
        settings["region"] = region
    if endpoint := of_file("endpoint_url", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        settings["endpoint"] = endpoint
    if not _has_aws_credentials(settings):
        settings["skip_signature"] = True
    return settings


def _has_aws_credentials(settings: S3Config) -> bool:
    """Return whether anything names credentials: keys, a role of a container, of a pod or of the machine."""
    if "access_key_id" in settings:
        return True
    named = (
        "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EXECUTION_ENV", "AWS_METADATA_ENDPOINT",
    )  # fmt: skip
    return any(os.environ.get(name) for name in named) or _is_ec2()


def _is_ec2() -> bool:
    """Return whether this is a machine of EC2, whose role then speaks for it."""
    try:
        return Path("/sys/hypervisor/uuid").read_text("ascii")[:3].lower() == "ec2" or (
            Path("/sys/class/dmi/id/sys_vendor").read_text("ascii").startswith("Amazon EC2")
        )
    except (OSError, UnicodeError):
        return False


def _google_settings() -> GCSConfig:
    """Return the emulator's address, where one is named as Google's own libraries want it, and no signature then."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        url = emulator if "://" in emulator else f"http://{emulator}"
        return {"base_url": url, "skip_signature": True}
    named = ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH")
    keys = ("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN", "GOOGLE_BASE_URL")
    well_known = Path.home() / ".config" / "gcloud" / "application_default_credentials.json"
    if any(os.environ.get(name) for name in (*named, *keys)) or well_known.exists() or _is_google():
        return {}
    return {"skip_signature": True}


def _is_google() -> bool:
    try:
        return "Google" in Path("/sys/class/dmi/id/product_name").read_text("ascii")
    except (OSError, UnicodeError):
        return False


@contextmanager
def configuration_errors(root: Address) -> Iterator[None]:
    from obstore import exceptions

    try:
        yield
    except (exceptions.BaseError, ValueError, TypeError) as error:
        raise RequestError(f"{root}: its settings can't be used ({first_line(error)})") from error
