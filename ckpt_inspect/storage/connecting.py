"""Opens a bucket or a host: where its credentials, region and endpoint are found, and how long it is waited for.

obstore takes credentials, regions and endpoints from the environment variables of each provider (`AWS_*`, `GOOGLE_*`,
`AZURE_*`). What it leaves out is added here: AWS' configuration files, and the variable by which Google's emulators
are named.
"""

from __future__ import annotations

import configparser
import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ckpt_inspect.errors import CkptInspectError, RequestError
from ckpt_inspect.storage.address import Address
from ckpt_inspect.storage.causes import first_line
from ckpt_inspect.storage.credentials import authorization_of

if TYPE_CHECKING:
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, ObjectStore, RetryConfig, S3Config

GIVE_UP = 20.0
"""Seconds after which a server that doesn't answer is given up."""
STALL = 10.0
"""Seconds without a byte after which an answer is asked for anew."""
REQUEST = 300.0
"""Seconds that one answer may take, all its bytes included."""
RETRIES = 6
"""How often a request is made anew that failed for a reason that may pass."""


_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
}
"""Variables that hold a server's address."""


def connect(root: Address, query: str = "") -> ObjectStore:
    """Return obstore's store of a bucket or a host; `query` goes with each request to a host."""
    from obstore import store

    for name in _ENDPOINTS.get(root.scheme, ()):  # obstore panics of what is no URL
        if (given := os.environ.get(name)) and "://" not in given:
            raise RequestError(
                f"{root}: {name} is {given!r}, which is not an address; write http://{given} or https://.."
            )
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
    return store.AzureStore(place, config=azure_settings(root), client_options=client, retry_config=retry)


def aws_settings() -> S3Config:
    """Return what AWS' configuration files say of the profile in use, where no environment variable says it.

    Without any credentials at all requests are not signed, as public buckets want them.
    """
    env = os.environ
    folder = Path.home() / ".aws"
    profile = env.get("AWS_PROFILE") or env.get("AWS_DEFAULT_PROFILE") or "default"
    found: dict[str, str] = {}
    is_known = profile == "default" or bool(env.get("AWS_ACCESS_KEY_ID"))
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
            is_known = True
            found |= dict(parser.items(section))
            services = f"services {found.get('services')}"
            own = parser.get(services, "s3", fallback="")  # lines of their own settings
            found |= {key.strip(): value.strip() for key, is_one, value in map(_parted, own.splitlines()) if is_one}
    if not is_known:
        raise RequestError(
            f"AWS' profile {profile!r} is in neither of AWS' files, config and credentials; check that AWS_PROFILE is "
            "right, or unset it"
        )

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
        if "://" not in endpoint:
            raise RequestError(f"AWS' profile {profile!r} has the endpoint_url {endpoint!r}; write http://{endpoint}")
        settings["endpoint"] = endpoint
    if metadata := env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT"):  # as AWS' own tools name it
        settings["metadata_endpoint"] = metadata.rstrip("/")
    if not _has_aws_credentials(settings):
        if command := found.get("credential_process"):
            return settings | _keys_of_process(command, profile)
        if way := next((name for name in _ELSEWHERE if name in found), None):
            raise RequestError(
                f"AWS' profile {profile!r} takes its credentials from {way}, which only AWS' own tools support; set "
                f"them as variables: eval $(aws configure export-credentials --profile {profile} --format env)"
            )
        settings["skip_signature"] = True
    return settings


_ELSEWHERE = ("sso_session", "sso_start_url", "role_arn", "login_session")
"""Settings of a profile whose keys are not in a file."""

_PROCESS = 60.0
"""Seconds within which a profile's program has to print its keys."""


def _parted(line: str) -> tuple[str, str, str]:
    return line.partition("=")


def _keys_of_process(command: str, profile: str) -> S3Config:
    """Return the keys that a profile's own program prints, which AWS' tools run as well.

    https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-sourcing-external.html
    """
    place = f"AWS' profile {profile!r}: its credential_process"
    try:
        done = subprocess.run(shlex.split(command), capture_output=True, check=True, timeout=_PROCESS)
        keys = json.loads(done.stdout)
        found: S3Config = {"access_key_id": keys["AccessKeyId"], "secret_access_key": keys["SecretAccessKey"]}
        if token := keys.get("SessionToken"):
            found["session_token"] = token
    except (OSError, subprocess.SubprocessError) as error:
        failed = f"ended with code {error.returncode}" if isinstance(error, subprocess.CalledProcessError) else "failed"
        raise RequestError(f"{place} {failed}; run it on its own to see why") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RequestError(f"{place} printed no keys as JSON; run it on its own to see what it prints") from error
    return found


def _has_aws_credentials(settings: S3Config) -> bool:
    """Return whether anything names credentials: keys, a role of a container, of a pod or of the machine."""
    if "access_key_id" in settings:
        return True
    named = (
        "AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_EXECUTION_ENV", "AWS_METADATA_ENDPOINT",
    )  # fmt: skip
    if any(os.environ.get(name) for name in named) or "metadata_endpoint" in settings:
        return True
    return not _is_true(os.environ.get("AWS_EC2_METADATA_DISABLED", "")) and _is_ec2()


def _is_ec2() -> bool:
    """Return whether this is a machine of EC2, whose role then speaks for it."""
    try:
        return Path("/sys/hypervisor/uuid").read_text("ascii")[:3].lower() == "ec2" or (
            Path("/sys/class/dmi/id/sys_vendor").read_text("ascii").startswith("Amazon EC2")
        )
    except (OSError, UnicodeError):
        return False


def azure_settings(root: Address) -> AzureConfig:
    """Return what Azure's own tools take from the environment and obstore doesn't: a connection string, and the names
    of `az storage`. Without any credentials requests are not signed, as public containers want them.

    https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string
    """
    env = os.environ
    parts = (part.partition("=") for part in env.get("AZURE_STORAGE_CONNECTION_STRING", "").split(";"))
    named = {name.strip().lower(): value.strip() for name, _, value in parts if value}
    if _is_true(env.get("AZURE_STORAGE_USE_EMULATOR", "")) or _is_true(named.get("usedevelopmentstorage", "")):
        return {"use_emulator": True}
    settings: AzureConfig = {}
    account = named.get("accountname") or env.get("AZURE_STORAGE_ACCOUNT") or env.get("AZURE_STORAGE_ACCOUNT_NAME")
    endpoint = named.get("blobendpoint")
    if endpoint:
        settings["endpoint"] = endpoint.rstrip("/")
        account = account or urlsplit(endpoint).netloc.partition(".")[0]
    elif suffix := named.get("endpointsuffix"):
        settings["endpoint"] = f"{named.get('defaultendpointsprotocol', 'https')}://{account}.blob.{suffix}"
    if not account:
        raise RequestError(
            f"{root}: names a container, and no storage account is known; set AZURE_STORAGE_ACCOUNT, or "
            "AZURE_STORAGE_CONNECTION_STRING"
        )
    settings["account_name"] = account
    if key := named.get("accountkey") or env.get("AZURE_STORAGE_KEY"):
        settings["account_key"] = key
    elif token := named.get("sharedaccesssignature"):
        settings["sas_key"] = token
    others = (
        "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY", "AZURE_STORAGE_SAS_KEY",
        "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN", "AZURE_STORAGE_CLIENT_ID", "AZURE_CLIENT_ID",
        "AZURE_MSI_ENDPOINT", "AZURE_IDENTITY_ENDPOINT", "IDENTITY_ENDPOINT", "AZURE_FEDERATED_TOKEN_FILE",
        "AZURE_USE_AZURE_CLI",
    )  # fmt: skip
    if not {"account_key", "sas_key"} & settings.keys() and not any(env.get(name) for name in others):
        # who has logged in by `az login` has this file
        is_logged_in = (Path(env.get("AZURE_CONFIG_DIR") or Path.home() / ".azure") / "azureProfile.json").exists()
        settings |= {"use_azure_cli": True} if is_logged_in else {"skip_signature": True}
    return settings


def _is_true(text: str) -> bool:
    return text.strip().lower() in ("1", "true", "yes", "on", "y")


def _google_settings() -> GCSConfig:
    """Return the emulator's address, where one is named as Google's own libraries want it, and no signature then."""
    emulator = os.environ.get("STORAGE_EMULATOR_HOST")
    if emulator:
        url = emulator if "://" in emulator else f"http://{emulator}"
        return {"base_url": url, "skip_signature": True}
    if any(os.environ.get(name) for name in ("GOOGLE_SERVICE_ACCOUNT_KEY", "GOOGLE_BEARER_TOKEN")):
        return {}
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"):
        if given := os.environ.get(name):
            _check_google_file(Path(given), f"{name} names {given}, which")
            return {}
    gcloud = os.environ.get("CLOUDSDK_CONFIG")
    well_known = Path(gcloud or Path.home() / ".config" / "gcloud") / "application_default_credentials.json"
    if well_known.exists():
        _check_google_file(well_known, str(well_known))
        return {"application_credentials": str(well_known)}
    return {} if _is_google() else {"skip_signature": True}


def _check_google_file(path: Path, what: str) -> None:
    """Raise RequestError for a file of Google's credentials that obstore doesn't take; `what` begins the sentence."""
    try:
        kind = json.loads(path.read_text("utf-8")).get("type")
    except OSError as error:
        raise RequestError(f"{what} can't be read ({error.strerror}); check its name") from error
    except (ValueError, AttributeError) as error:
        raise RequestError(
            f"{what} is no JSON of Google's; make a new one: gcloud auth application-default login"
        ) from error
    if kind not in ("service_account", "authorized_user"):
        raise RequestError(
            f"{what} is of type {kind!r}, for which only Google's own tools can make tokens; set one as a variable: "
            "export GOOGLE_BEARER_TOKEN=$(gcloud auth application-default print-access-token)"
        )


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
    except CkptInspectError:
        raise
    except (exceptions.BaseError, ValueError, TypeError) as error:
        raise RequestError(f"{root}: its settings can't be used ({first_line(error)})") from error
