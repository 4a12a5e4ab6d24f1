"""The tables of Camtrap DP 1.0.2 as Table Schemas, and what its metadata must have as a JSON Schema.

The standard: Camtrap DP 1.0.2, https://camtrap-dp.tdwg.org (data, metadata), Table Schema and Data Package v1 of
Frictionless. Names, order, types and limits of the fields are the standard's; its descriptions stand there. A
package encloses these files so that it can be validated where there is no network.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal

VERSION: Final = "1.0.2"
HOME: Final = f"https://raw.githubusercontent.com/tdwg/camtrap-dp/{VERSION}"
"""Where the standard keeps its own schemas; every package that links to them names this address."""

ENCLOSED: Final = f"camtrap-dp/{VERSION}"
"""Folder of the enclosed schemas inside a package. R's camtrapdp reads the version out of it."""

TABLES: Final = ("deployments", "media", "observations")
Table = Literal["deployments", "media", "observations"]

MISSING: Final = ["", "NA", "NaN", "nan"]
MOMENT: Final = "%Y-%m-%dT%H:%M:%S%z"

Field = dict[str, Any]


def _field(name: str, kind: str = "string", **constraints: Any) -> Field:
    field: Field = {"name": name, "type": kind}
    if kind == "datetime":
        field["format"] = MOMENT
    return field | {"constraints": {"required": False} | constraints}


_NEEDED: Final[dict[str, Any]] = {"required": True}
_KEY: Final[dict[str, Any]] = {"required": True, "unique": True}
_POSITIVE: Final[dict[str, Any]] = {"minimum": 0}
_SHARE: Final[dict[str, Any]] = {"minimum": 0, "maximum": 1}
_EXTENT: Final[dict[str, Any]] = {"minimum": 1e-15, "maximum": 1}

FIELDS: Final[dict[str, list[Field]]] = {
    "deployments": [
        _field("deploymentID", **_KEY),
        _field("locationID"),
        _field("locationName"),
        _field("latitude", "number", **_NEEDED, minimum=-90, maximum=90),
        _field("longitude", "number", **_NEEDED, minimum=-180, maximum=180),
        _field("coordinateUncertainty", "integer", minimum=1),
        _field("deploymentStart", "datetime", **_NEEDED),
        _field("deploymentEnd", "datetime", **_NEEDED),
        _field("setupBy"),
        _field("cameraID"),
        _field("cameraModel"),
        _field("cameraDelay", "integer", **_POSITIVE),
        _field("cameraHeight", "number", **_POSITIVE),
        _field("cameraDepth", "number", **_POSITIVE),
        _field("cameraTilt", "integer", minimum=-90, maximum=90),
        _field("cameraHeading", "integer", minimum=0, maximum=360),
        _field("detectionDistance", "number", **_POSITIVE),
        _field("timestampIssues", "boolean"),
        _field("baitUse", "boolean"),
        _field(
            "featureType",
            enum=[
                "roadPaved", "roadDirt", "trailHiking", "trailGame", "roadUnderpass", "roadOverpass", "roadBridge",
                "culvert", "burrow", "nestSite", "carcass", "waterSource", "fruitingTree",
            ],
        ),
        _field("habitat"),
        _field("deploymentGroups"),
        _field("deploymentTags"),
        _field("deploymentComments"),
    ],
    "media": [
        _field("mediaID", **_KEY),
        _field("deploymentID", **_NEEDED),
        _field("captureMethod", enum=["activityDetection", "timeLapse"]),
        _field("timestamp", "datetime", **_NEEDED),
        _field("filePath", **_NEEDED, pattern=r"^(?=^[^./~])(^((?!\.{2}).)*$).*$"),
        _field("filePublic", "boolean", **_NEEDED),
        _field("fileName"),
        _field("fileMediatype", **_NEEDED, pattern="^(image|video|audio)/.*$"),
        _field("exifData", "any"),
        _field("favorite", "boolean"),
        _field("mediaComments"),
    ],
    "observations": [
        _field("observationID", **_KEY),
        _field("deploymentID", **_NEEDED),
        _field("mediaID"),
        _field("eventID"),
        _field("eventStart", "datetime", **_NEEDED),
        _field("eventEnd", "datetime", **_NEEDED),
        _field("observationLevel", **_NEEDED, enum=["media", "event"]),
        _field(
            "observationType", **_NEEDED, enum=["animal", "human", "vehicle", "blank", "unknown", "unclassified"]
        ),
        _field("cameraSetupType", enum=["setup", "calibration"]),
        _field("scientificName"),
        _field("count", "integer", minimum=1),
        _field("lifeStage", enum=["adult", "subadult", "juvenile"]),
        _field("sex", enum=["female", "male"]),
        _field("behavior"),
        _field("individualID"),
        _field("individualPositionRadius", "number", **_POSITIVE),
        _field("individualPositionAngle", "number", minimum=-90, maximum=90),
        _field("individualSpeed", "number", **_POSITIVE),
        _field("bboxX", "number", **_SHARE),
        _field("bboxY", "number", **_SHARE),
        _field("bboxWidth", "number", **_EXTENT),
        _field("bboxHeight", "number", **_EXTENT),
        _field("classificationMethod", enum=["human", "machine"]),
        _field("classifiedBy"),
        _field("classificationTimestamp", "datetime"),
        _field("classificationProbability", "number", **_SHARE),
        _field("observationTags"),
        _field("observationComments"),
    ],
}  # fmt: skip

_FOREIGN: Final[dict[str, dict[str, str]]] = {
    "deployments": {},
    "media": {"deploymentID": "deployments"},
    "observations": {"deploymentID": "deployments", "mediaID": "media"},
}

SAMPLING_DESIGNS: Final = (
    "simpleRandom", "systematicRandom", "clusteredRandom", "experimental", "targeted", "opportunistic",
)  # fmt: skip
CAPTURE_METHODS: Final = ("activityDetection", "timeLapse")
RANKS: Final = ("kingdom", "phylum", "class", "order", "family", "genus", "species", "subspecies")
ROLES: Final = ("contact", "principalInvestigator", "rightsHolder", "publisher", "contributor")


def columns(table: str) -> list[str]:
    """Names of a table's fields in their order."""
    return [field["name"] for field in FIELDS[table]]


def table_schema(table: str) -> dict[str, Any]:
    """One table's Table Schema."""
    schema: dict[str, Any] = {
        "name": table,
        "title": table.capitalize(),
        "description": f"Fields of Camtrap DP {VERSION}, described at https://camtrap-dp.tdwg.org/data",
        "fields": FIELDS[table],
        "missingValues": MISSING,
        "primaryKey": FIELDS[table][0]["name"],
    }
    foreign = [
        {"fields": name, "reference": {"resource": resource, "fields": name}}
        for name, resource in _FOREIGN[table].items()
    ]
    return schema | ({"foreignKeys": foreign} if foreign else {})


def _object(properties: dict[str, Any], required: Iterable[str] = ()) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": properties}


def _list(items: dict[str, Any], least: int = 0) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": least}


_STRING: Final = {"type": "string"}
_DATE: Final = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"}


def profile() -> dict[str, Any]:
    """What ``datapackage.json`` must have, as a JSON Schema (draft 7)."""
    resource = _object(
        {
            "name": {"enum": list(TABLES)},
            "path": _STRING,
            "profile": {"const": "tabular-data-resource"},
            "schema": {"type": "string", "pattern": VERSION.replace(".", r"\.")},
        },
        ["name", "path", "profile", "schema"],
    )
    taxon = {name: _STRING for name in ("scientificName", "taxonID", *RANKS[:6])}
    vernacular = {"type": "object", "additionalProperties": False, "patternProperties": {"^[a-z]{3}$": _STRING}}
    project = {
        "title": _STRING,
        "samplingDesign": {"enum": list(SAMPLING_DESIGNS)},
        "captureMethod": _list({"enum": list(CAPTURE_METHODS)}, 1),
        "individualAnimals": {"type": "boolean"},
        "observationLevel": _list({"enum": ["media", "event"]}),
    }
    parts = {
        "resources": _list(resource, len(TABLES)),
        "profile": _STRING,
        "created": _STRING,
        "contributors": _list(_object({"title": _STRING, "role": {"enum": list(ROLES)}}, ["title"]), 1),
        "project": _object(project, project),
        "spatial": _object({"type": {"enum": ["Point", "MultiPoint", "Polygon"]}}, ["type", "coordinates"]),
        "temporal": _object({"start": _DATE, "end": _DATE}, ["start", "end"]),
        "taxonomic": _list(
            _object(taxon | {"taxonRank": {"enum": list(RANKS)}, "vernacularNames": vernacular}, ["scientificName"])
        ),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Camtrap DP {VERSION}",
        "description": "Metadata of Camtrap DP, described at https://camtrap-dp.tdwg.org/metadata",
        **_object(parts, parts),
    }
