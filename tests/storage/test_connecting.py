"""Where credentials and endpoints come from: each way works against a server on the loopback, which is shown whose key
a request brought, or one sentence says what to do instead. No other host is asked."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.keras_files import Run
from support.object_servers import WebServer, web_server

from ckpt_inspect import open_checkpoint
from ckpt_inspect.errors import CkptInspectError, NotFoundError, RequestError
from ckpt_inspect.storage import connecting, credentials, objects

KEY = base64.b64encode(b"k" * 64).decode()


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Use no settings of whoever runs it, and give an empty home."""
    for name in list(connecting.os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("AWS_", "GOOGLE_", "AZURE_", "CLOUDSDK_", "STORAGE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(connecting, "_is_ec2", lambda: False)
    monkeypatch.setattr(connecting, "_is_google", lambda: False)
    objects.forget()
    credentials.forget()
    yield tmp_path
    objects.forget()
    credentials.forget()


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """Serve `runs/model.h5` to whoever asks, in the way that S3, Google and Azure have in common."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "runs").mkdir()
    Run().train(2).save(folder / "runs" / "model.h5")
    with web_server(folder) as found:
        found.tag, found.account, found.query = "1", None, None
        yield found


class _Metadata(BaseHTTPRequestHandler):
    """What gives a machine, or a container, the keys of its role."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer with a token, the role's name, or its keys."""
        keys = {"AccessKeyId": "ROLE", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
        is_name = self.path.rstrip("/").endswith("security-credentials")
        text = "token" if "token" in self.path else "role" if is_name else json.dumps(keys)
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_PUT(self) -> None:
        """Answer with a token."""
        self.do_GET()


@pytest.fixture
def metadata() -> Iterator[str]:
    """Return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Metadata) as found:
        threading.Thread(target=found.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()


@pytest.fixture(scope="module")
def account() -> str:
    """Return the file of a service account of Google's, with a key made for it."""
    command = ["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
    key = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    fields = {"client_email": "a@b", "private_key": key, "private_key_id": "1"}
    return json.dumps({"type": "service_account", **fields})


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def _brought(server: WebServer, address: str) -> list[str]:
    """Whose keys requests brought, each once."""
    with open_checkpoint(address) as checkpoint:
        assert checkpoint.format == "keras-h5"
    found = (re.sub(r".*Credential=(\w+)/.*", r"\1", each) for each in server.authorizations)
    return sorted({re.sub(r"(SharedKey \w+):.*|(Bearer eyJ).*", r"\1\2", each) for each in found})


class TestAws:
    """The variables and files of AWS' own tools."""

    ADDRESS = "s3://runs/model.h5"
    KEYS = "aws_access_key_id = {}\naws_secret_access_key = s\n"

    @pytest.fixture(autouse=True)
    def _endpoint(self, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.address)

    def test_variables(self, server: WebServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """They come before files."""
        _write(home / ".aws/credentials", "[default]\n" + self.KEYS.format("FILE"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "VARIABLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        assert _brought(server, self.ADDRESS) == ["VARIABLE"]

    @pytest.mark.parametrize(
        ("profile", "file", "section"),
        [("", "credentials", "default"), ("lab", "credentials", "lab"), ("lab", "config", "profile lab")],
    )
    def test_files(
        self, profile: str, file: str, section: str, server: WebServer, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Those of the profile that is named; else the default one's."""
        _write(home / ".aws" / file, f"[{section}]\n{self.KEYS.format('FILE')}")
        monkeypatch.setenv("AWS_PROFILE", profile)
        assert _brought(server, self.ADDRESS) == ["FILE"]

    @pytest.mark.parametrize(
        "text", ["endpoint_url = {0}\n", "services = mine\n[services mine]\ns3 =\n  endpoint_url = {0}\n"]
    )
    def test_an_endpoint_of_a_file(
        self, text: str, server: WebServer, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For all services, or for S3 alone."""
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        own = text.format(server.address)
        _write(home / ".aws/config", f"[default]\n{self.KEYS.format('FILE')}{own}")
        assert _brought(server, self.ADDRESS) == ["FILE"]

    def test_a_program_of_the_profile(self, server: WebServer, home: Path) -> None:
        """It is run, as AWS' tools do; what is wrong with it is said."""
        keys = json.dumps({"Version": 1, "AccessKeyId": "PROGRAM", "SecretAccessKey": "s", "SessionToken": "t"})
        config = home / ".aws/config"
        _write(config, f"[default]\ncredential_process = echo '{keys}'\n")
        assert _brought(server, self.ADDRESS) == ["PROGRAM"]
        for command, sentence in (
            ("false", "ended with code 1; run it on its own to see why"),
            ("no-such-program", "failed; run it on its own to see why"),
            ("echo hello", "printed no keys as JSON; run it on its own to see what it prints"),
        ):
            _write(config, f"[default]\ncredential_process = {command}\n")
            objects.forget()
            with pytest.raises(RequestError) as caught:
                open_checkpoint(self.ADDRESS)
            assert str(caught.value) == f"AWS' profile 'default': its credential_process {sentence}"

    @pytest.mark.parametrize("way", ["sso_session", "sso_start_url", "role_arn", "login_session"])
    def test_what_only_their_tools_do(self, way: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command that brings its keys is named."""
        _write(home / ".aws/config", f"[profile lab]\n{way} = x\n")
        monkeypatch.setenv("AWS_PROFILE", "lab")
        with pytest.raises(RequestError) as caught:
            open_checkpoint(self.ADDRESS)
        assert str(caught.value) == (
            f"AWS' profile 'lab' takes its credentials from {way}, which only AWS' own tools support; set them as "
            "variables: eval $(aws configure export-credentials --profile lab --format env)"
        )

    def test_a_profile_that_isnt_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody goes on without a key."""
        monkeypatch.setenv("AWS_PROFILE", "lab")
        with pytest.raises(RequestError, match=r"^AWS' profile 'lab' is in neither of AWS' files, config and cred"):
            open_checkpoint(self.ADDRESS)

    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("AWS_METADATA_ENDPOINT", ""),
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "/"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/keys"),
        ],
    )
    def test_the_role_of_a_machine_or_container(
        self, name: str, path: str, server: WebServer, metadata: str, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its keys are asked for where the variable says."""
        monkeypatch.setenv(name, f"{metadata}{path}")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(_write(home / "token", "t")))
        assert _brought(server, self.ADDRESS) == ["ROLE"]

    def test_without_any(self, server: WebServer) -> None:
        """Nothing is signed; if that isn't enough it is said."""
        assert not any("Credential" in each for each in _brought(server, self.ADDRESS))
        server.account = "me:secret"
        objects.forget()
        with pytest.raises(NotFoundError) as caught:
            open_checkpoint(self.ADDRESS)
        sentence = (
            "s3://runs is not public, and no credentials for it were found; give them as for its provider's own tools"
        )
        assert str(caught.value) == f"{self.ADDRESS}: {sentence}"

    def test_keys_that_are_refused(self, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another sentence."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "VARIABLE")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
        server.account = "me:secret"
        with pytest.raises(NotFoundError) as caught:
            open_checkpoint(self.ADDRESS)
        sentence = "refuses the credentials that were found; check that they are right and may read this bucket"
        assert str(caught.value) == f"{self.ADDRESS}: s3://runs {sentence}"


class TestGoogle:
    """The variables and files of Google's own tools."""

    ADDRESS = "gs://runs/model.h5"

    @pytest.fixture(autouse=True)
    def _endpoint(self, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GOOGLE_BASE_URL", server.address)

    @pytest.mark.parametrize(
        ("place", "name", "value"),
        [
            ("key.json", "GOOGLE_APPLICATION_CREDENTIALS", "key.json"),
            (".config/gcloud/application_default_credentials.json", "", ""),
            ("sdk/application_default_credentials.json", "CLOUDSDK_CONFIG", "sdk"),
        ],
    )
    def test_files(
        self,
        place: str,
        name: str,
        value: str,
        account: str,
        server: WebServer,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """What a variable names, or where gcloud has its own."""
        _write(home / place, account)
        if name:
            monkeypatch.setenv(name, str(home / value))
        assert _brought(server, self.ADDRESS) == ["Bearer eyJ"]

    def test_a_token(self, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        """As gcloud prints it."""
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "mine")
        assert _brought(server, self.ADDRESS) == ["Bearer mine"]

    @pytest.mark.parametrize(
        ("text", "sentence"),
        [
            (None, "can't be read (No such file or directory); check its name"),
            ("x", "is no JSON of Google's; make a new one: gcloud auth application-default login"),
            (
                '{"type": "external_account"}',
                "is of type 'external_account', for which only Google's own tools can make tokens; set one as a "
                "variable: export GOOGLE_BEARER_TOKEN=$(gcloud auth application-default print-access-token)",
            ),
        ],
    )
    def test_a_file_that_isnt_taken(
        self, text: str | None, sentence: str, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is said which, and what to do."""
        place = home / "key.json"
        if text is not None:
            _write(place, text)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(place))
        with pytest.raises(RequestError) as caught:
            open_checkpoint(self.ADDRESS)
        assert str(caught.value) == f"GOOGLE_APPLICATION_CREDENTIALS names {place}, which {sentence}"

    def test_without_any(self, server: WebServer) -> None:
        """Nothing is signed, and no machine is asked for its role."""
        assert not any("Bearer" in each for each in _brought(server, self.ADDRESS))


class TestAzure:
    """The variables of Azure's own tools, and who has logged in by `az login`."""

    ADDRESS = "az://runs/model.h5"

    @pytest.fixture(autouse=True)
    def _endpoint(self, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", server.address)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "mine")

    @pytest.mark.parametrize(
        ("name", "value", "brought"),
        [
            ("AZURE_STORAGE_KEY", KEY, "SharedKey mine"),
            ("AZURE_STORAGE_ACCOUNT_KEY", KEY, "SharedKey mine"),
            ("AZURE_STORAGE_CONNECTION_STRING", f"AccountName=mine;AccountKey={KEY};BlobEndpoint=SERVER", "SharedKey"),
            ("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=x", "sv=1&sig=x"),
        ],
    )
    def test_variables(
        self, name: str, value: str, brought: str, server: WebServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An account's key, or a signature."""
        monkeypatch.setenv(name, value.replace("SERVER", server.address))
        assert all(brought in each for each in _brought(server, self.ADDRESS))

    def test_a_login(self, server: WebServer, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The program that it was made with gives a token; if it isn't there it is said what else there is."""
        _write(home / ".azure/azureProfile.json", "{}")
        token = {"accessToken": "token", "expiresOn": "2099-01-01 00:00:00.000000", "expires_on": 4070908800}
        more = {"subscription": "s", "tenant": "t", "tokenType": "Bearer"}
        _write(home / "bin/az", f"#!/bin/sh\necho '{json.dumps(token | more)}'\n").chmod(0o755)
        monkeypatch.setenv("PATH", f"{home / 'bin'}:{connecting.os.environ['PATH']}")
        assert _brought(server, self.ADDRESS) == ["Bearer token"]
        (home / "bin/az").unlink()
        monkeypatch.setenv("PATH", str(home / "bin"))
        objects.forget()
        with pytest.raises(CkptInspectError) as caught:
            open_checkpoint(self.ADDRESS)
        assert str(caught.value) == (
            f"{self.ADDRESS}: az://runs is reached through az login, and az returned no token; log in again, or set "
            "AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"
        )

    def test_without_an_account(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is asked for."""
        monkeypatch.delenv("AZURE_STORAGE_ACCOUNT")
        with pytest.raises(RequestError, match="no storage account is known; set AZURE_STORAGE_ACCOUNT, or"):
            open_checkpoint(self.ADDRESS)
