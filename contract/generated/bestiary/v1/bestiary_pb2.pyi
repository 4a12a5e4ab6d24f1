import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class AckLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACK_LEVEL_UNSPECIFIED: _ClassVar[AckLevel]
    ACK_LEVEL_ACCEPTED: _ClassVar[AckLevel]
    ACK_LEVEL_DURABLE: _ClassVar[AckLevel]
    ACK_LEVEL_STORED: _ClassVar[AckLevel]

class Verdict(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VERDICT_UNSPECIFIED: _ClassVar[Verdict]
    VERDICT_ANIMAL: _ClassVar[Verdict]
    VERDICT_EMPTY: _ClassVar[Verdict]
    VERDICT_UNKNOWN: _ClassVar[Verdict]

class RecordStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RECORD_STATUS_UNSPECIFIED: _ClassVar[RecordStatus]
    RECORD_STATUS_COMPLETE: _ClassVar[RecordStatus]
    RECORD_STATUS_PARTIAL: _ClassVar[RecordStatus]

class Tasks(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASKS_UNSPECIFIED: _ClassVar[Tasks]
    TASKS_SPECIES: _ClassVar[Tasks]
    TASKS_COUNT: _ClassVar[Tasks]
    TASKS_FULL: _ClassVar[Tasks]
ACK_LEVEL_UNSPECIFIED: AckLevel
ACK_LEVEL_ACCEPTED: AckLevel
ACK_LEVEL_DURABLE: AckLevel
ACK_LEVEL_STORED: AckLevel
VERDICT_UNSPECIFIED: Verdict
VERDICT_ANIMAL: Verdict
VERDICT_EMPTY: Verdict
VERDICT_UNKNOWN: Verdict
RECORD_STATUS_UNSPECIFIED: RecordStatus
RECORD_STATUS_COMPLETE: RecordStatus
RECORD_STATUS_PARTIAL: RecordStatus
TASKS_UNSPECIFIED: Tasks
TASKS_SPECIES: Tasks
TASKS_COUNT: Tasks
TASKS_FULL: Tasks

class Thresholds(_message.Message):
    __slots__ = ("detect_from", "overlap", "sure_from", "empty_from")
    DETECT_FROM_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    SURE_FROM_FIELD_NUMBER: _ClassVar[int]
    EMPTY_FROM_FIELD_NUMBER: _ClassVar[int]
    detect_from: float
    overlap: float
    sure_from: float
    empty_from: float
    def __init__(self, detect_from: _Optional[float] = ..., overlap: _Optional[float] = ..., sure_from: _Optional[float] = ..., empty_from: _Optional[float] = ...) -> None: ...

class ClassifyRequest(_message.Message):
    __slots__ = ("photo", "blob", "filename", "ack", "tasks", "thresholds", "keep_location")
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    ACK_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    THRESHOLDS_FIELD_NUMBER: _ClassVar[int]
    KEEP_LOCATION_FIELD_NUMBER: _ClassVar[int]
    photo: bytes
    blob: str
    filename: str
    ack: AckLevel
    tasks: Tasks
    thresholds: Thresholds
    keep_location: bool
    def __init__(self, photo: _Optional[bytes] = ..., blob: _Optional[str] = ..., filename: _Optional[str] = ..., ack: _Optional[_Union[AckLevel, str]] = ..., tasks: _Optional[_Union[Tasks, str]] = ..., thresholds: _Optional[_Union[Thresholds, _Mapping]] = ..., keep_location: _Optional[bool] = ...) -> None: ...

class ClassifyResponse(_message.Message):
    __slots__ = ("classification",)
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    classification: Classification
    def __init__(self, classification: _Optional[_Union[Classification, _Mapping]] = ...) -> None: ...

class ClassifyStreamRequest(_message.Message):
    __slots__ = ("key", "request")
    KEY_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    key: str
    request: ClassifyRequest
    def __init__(self, key: _Optional[str] = ..., request: _Optional[_Union[ClassifyRequest, _Mapping]] = ...) -> None: ...

class ClassifyStreamResponse(_message.Message):
    __slots__ = ("key", "classification", "failure")
    KEY_FIELD_NUMBER: _ClassVar[int]
    CLASSIFICATION_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    key: str
    classification: Classification
    failure: Failure
    def __init__(self, key: _Optional[str] = ..., classification: _Optional[_Union[Classification, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("reason", "message", "retryable", "retry_after_s")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_S_FIELD_NUMBER: _ClassVar[int]
    reason: str
    message: str
    retryable: bool
    retry_after_s: float
    def __init__(self, reason: _Optional[str] = ..., message: _Optional[str] = ..., retryable: _Optional[bool] = ..., retry_after_s: _Optional[float] = ...) -> None: ...

class SpeciesScore(_message.Message):
    __slots__ = ("key", "common_name", "variety", "rank", "order", "family", "genus", "species", "score")
    KEY_FIELD_NUMBER: _ClassVar[int]
    COMMON_NAME_FIELD_NUMBER: _ClassVar[int]
    VARIETY_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    GENUS_FIELD_NUMBER: _ClassVar[int]
    SPECIES_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    key: str
    common_name: str
    variety: str
    rank: str
    order: str
    family: str
    genus: str
    species: str
    score: float
    def __init__(self, key: _Optional[str] = ..., common_name: _Optional[str] = ..., variety: _Optional[str] = ..., rank: _Optional[str] = ..., order: _Optional[str] = ..., family: _Optional[str] = ..., genus: _Optional[str] = ..., species: _Optional[str] = ..., score: _Optional[float] = ..., **kwargs) -> None: ...

class Taxon(_message.Message):
    __slots__ = ("rank", "name", "common_name", "score", "order", "family", "genus", "species")
    RANK_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    COMMON_NAME_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    CLASS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    GENUS_FIELD_NUMBER: _ClassVar[int]
    SPECIES_FIELD_NUMBER: _ClassVar[int]
    rank: str
    name: str
    common_name: str
    score: float
    order: str
    family: str
    genus: str
    species: str
    def __init__(self, rank: _Optional[str] = ..., name: _Optional[str] = ..., common_name: _Optional[str] = ..., score: _Optional[float] = ..., order: _Optional[str] = ..., family: _Optional[str] = ..., genus: _Optional[str] = ..., species: _Optional[str] = ..., **kwargs) -> None: ...

class Alternatives(_message.Message):
    __slots__ = ("coverage", "species", "taxon")
    COVERAGE_FIELD_NUMBER: _ClassVar[int]
    SPECIES_FIELD_NUMBER: _ClassVar[int]
    TAXON_FIELD_NUMBER: _ClassVar[int]
    coverage: float
    species: _containers.RepeatedCompositeFieldContainer[SpeciesScore]
    taxon: Taxon
    def __init__(self, coverage: _Optional[float] = ..., species: _Optional[_Iterable[_Union[SpeciesScore, _Mapping]]] = ..., taxon: _Optional[_Union[Taxon, _Mapping]] = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("x1", "y1", "x2", "y2", "score", "species", "taxon", "alternatives")
    X1_FIELD_NUMBER: _ClassVar[int]
    Y1_FIELD_NUMBER: _ClassVar[int]
    X2_FIELD_NUMBER: _ClassVar[int]
    Y2_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    SPECIES_FIELD_NUMBER: _ClassVar[int]
    TAXON_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    x1: float
    y1: float
    x2: float
    y2: float
    score: float
    species: _containers.RepeatedCompositeFieldContainer[SpeciesScore]
    taxon: Taxon
    alternatives: Alternatives
    def __init__(self, x1: _Optional[float] = ..., y1: _Optional[float] = ..., x2: _Optional[float] = ..., y2: _Optional[float] = ..., score: _Optional[float] = ..., species: _Optional[_Iterable[_Union[SpeciesScore, _Mapping]]] = ..., taxon: _Optional[_Union[Taxon, _Mapping]] = ..., alternatives: _Optional[_Union[Alternatives, _Mapping]] = ...) -> None: ...

class Camera(_message.Message):
    __slots__ = ("make", "model", "serial")
    MAKE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    make: str
    model: str
    serial: str
    def __init__(self, make: _Optional[str] = ..., model: _Optional[str] = ..., serial: _Optional[str] = ...) -> None: ...

class Location(_message.Message):
    __slots__ = ("latitude", "longitude")
    LATITUDE_FIELD_NUMBER: _ClassVar[int]
    LONGITUDE_FIELD_NUMBER: _ClassVar[int]
    latitude: float
    longitude: float
    def __init__(self, latitude: _Optional[float] = ..., longitude: _Optional[float] = ...) -> None: ...

class Photo(_message.Message):
    __slots__ = ("sha256", "blob", "filename", "format", "width", "height", "size_bytes", "captured_at", "camera", "location", "source")
    SHA256_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    FILENAME_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CAPTURED_AT_FIELD_NUMBER: _ClassVar[int]
    CAMERA_FIELD_NUMBER: _ClassVar[int]
    LOCATION_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    sha256: str
    blob: str
    filename: str
    format: str
    width: int
    height: int
    size_bytes: int
    captured_at: str
    camera: Camera
    location: Location
    source: str
    def __init__(self, sha256: _Optional[str] = ..., blob: _Optional[str] = ..., filename: _Optional[str] = ..., format: _Optional[str] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., size_bytes: _Optional[int] = ..., captured_at: _Optional[str] = ..., camera: _Optional[_Union[Camera, _Mapping]] = ..., location: _Optional[_Union[Location, _Mapping]] = ..., source: _Optional[str] = ...) -> None: ...

class Timings(_message.Message):
    __slots__ = ("decode", "classify", "model", "triton", "total", "detect", "queue", "edge", "wait", "fetch", "blob")
    DECODE_FIELD_NUMBER: _ClassVar[int]
    CLASSIFY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TRITON_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    DETECT_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    EDGE_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    FETCH_FIELD_NUMBER: _ClassVar[int]
    BLOB_FIELD_NUMBER: _ClassVar[int]
    decode: float
    classify: float
    model: float
    triton: float
    total: float
    detect: float
    queue: float
    edge: float
    wait: float
    fetch: float
    blob: float
    def __init__(self, decode: _Optional[float] = ..., classify: _Optional[float] = ..., model: _Optional[float] = ..., triton: _Optional[float] = ..., total: _Optional[float] = ..., detect: _Optional[float] = ..., queue: _Optional[float] = ..., edge: _Optional[float] = ..., wait: _Optional[float] = ..., fetch: _Optional[float] = ..., blob: _Optional[float] = ...) -> None: ...

class Classification(_message.Message):
    __slots__ = ("schema_version", "id", "received_at", "status", "verdict", "species", "count", "counts", "boxes", "photo", "release", "timings_ms", "tasks", "taxon", "alternatives")
    class CountsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SCHEMA_VERSION_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SPECIES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    BOXES_FIELD_NUMBER: _ClassVar[int]
    PHOTO_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    TIMINGS_MS_FIELD_NUMBER: _ClassVar[int]
    TASKS_FIELD_NUMBER: _ClassVar[int]
    TAXON_FIELD_NUMBER: _ClassVar[int]
    ALTERNATIVES_FIELD_NUMBER: _ClassVar[int]
    schema_version: int
    id: str
    received_at: _timestamp_pb2.Timestamp
    status: RecordStatus
    verdict: Verdict
    species: _containers.RepeatedCompositeFieldContainer[SpeciesScore]
    count: int
    counts: _containers.ScalarMap[str, int]
    boxes: _containers.RepeatedCompositeFieldContainer[Box]
    photo: Photo
    release: str
    timings_ms: Timings
    tasks: Tasks
    taxon: Taxon
    alternatives: Alternatives
    def __init__(self, schema_version: _Optional[int] = ..., id: _Optional[str] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., status: _Optional[_Union[RecordStatus, str]] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., species: _Optional[_Iterable[_Union[SpeciesScore, _Mapping]]] = ..., count: _Optional[int] = ..., counts: _Optional[_Mapping[str, int]] = ..., boxes: _Optional[_Iterable[_Union[Box, _Mapping]]] = ..., photo: _Optional[_Union[Photo, _Mapping]] = ..., release: _Optional[str] = ..., timings_ms: _Optional[_Union[Timings, _Mapping]] = ..., tasks: _Optional[_Union[Tasks, str]] = ..., taxon: _Optional[_Union[Taxon, _Mapping]] = ..., alternatives: _Optional[_Union[Alternatives, _Mapping]] = ...) -> None: ...

class GetClassificationRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class ListClassificationsRequest(_message.Message):
    __slots__ = ("page_size", "page_token", "species", "verdict", "since", "until")
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SPECIES_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    page_size: int
    page_token: str
    species: str
    verdict: Verdict
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    def __init__(self, page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., species: _Optional[str] = ..., verdict: _Optional[_Union[Verdict, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListClassificationsResponse(_message.Message):
    __slots__ = ("classifications", "next_page_token")
    CLASSIFICATIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    classifications: _containers.RepeatedCompositeFieldContainer[Classification]
    next_page_token: str
    def __init__(self, classifications: _Optional[_Iterable[_Union[Classification, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...
