"""The JSON that Keras saves with a model, in its three shapes: text -> TrainingConfig. Pure."""

from __future__ import annotations

import json

from ckpt_inspect.checkpoint import TrainingConfig
from ckpt_inspect.errors import DamagedFileError
from ckpt_inspect.jsonable import JsonObject, JsonValue

_REMEDY = "; copy or restore the file"


def decode_json(text: str | bytes, where: str) -> JsonObject:
    """Return a JSON object; raises DamagedFileError, which names `where`, for anything else."""
    try:
        value: JsonValue = json.loads(text)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        why = "it is empty" if not text.strip() else error
        raise DamagedFileError(f"{where}: is not JSON ({why}){_REMEDY}") from error
    except RecursionError as error:
        raise DamagedFileError(f"{where}: is JSON that is nested too deeply to be read{_REMEDY}") from error
    except ValueError as error:  # CPython's limit on the digits of a whole number
        raise DamagedFileError(f"{where}: is JSON with a number of more digits than can be read{_REMEDY}") from error
    if not isinstance(value, dict):
        raise DamagedFileError(f"{where}: is JSON, but not an object{_REMEDY}")
    return value


def from_attributes(training: str | bytes | None, model: str | bytes | None) -> TrainingConfig | None:
    """Decode the attributes `training_config` and `model_config` of an HDF5 file's root."""
    if training is None and model is None:
        return None
    decoded = {} if training is None else decode_json(training, "training_config attribute")
    return TrainingConfig(
        _optimizer(decoded.get("optimizer_config")),
        None if model is None else decode_json(model, "model_config attribute"),
        "model_config attribute" if training is None else "training_config attribute",
    )


def from_archive(config: str | bytes, where: str) -> TrainingConfig:
    """Decode the `config.json` of `.keras` files: the model's configuration, with `compile_config` in it."""
    decoded = decode_json(config, where)
    compiled = decoded.get("compile_config")
    return TrainingConfig(_optimizer(compiled.get("optimizer") if isinstance(compiled, dict) else None), decoded, where)


def from_saved_metadata(metadata: str | bytes, where: str) -> TrainingConfig:
    """Decode the metadata of a SavedModel's root: an object with `class_name`, `config` and `training_config`."""
    decoded = decode_json(metadata, where)
    training = decoded.get("training_config")
    model = {key: decoded[key] for key in ("class_name", "config") if key in decoded}
    return TrainingConfig(
        _optimizer(training.get("optimizer_config") if isinstance(training, dict) else None), model or None, where
    )


def _optimizer(config: JsonValue) -> JsonObject | None:
    # compile(optimizer="adam") is kept as the bare name: that class with Keras' defaults
    if isinstance(config, str):
        return {"class_name": config, "config": {}}
    return config if isinstance(config, dict) and config else None
