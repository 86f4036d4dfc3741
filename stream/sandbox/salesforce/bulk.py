"""`/jobs/ingest`: Bulk API 2.0 over REST. What becomes of a job is in `jobs`."""

from __future__ import annotations

from typing import Any, get_args

from stream.sandbox.salesforce.errors import ApiError, not_found
from stream.sandbox.salesforce.jobs import Job, Operation, Results
from stream.sandbox.salesforce.resources import Answer, Call, Handler, Work, route
from stream.sandbox.salesforce.spreadsheet import DELIMITERS, LINE_ENDINGS

MAX_UPLOAD_BYTES = 100 * 1024 * 1024  # 150 MB once Salesforce has it in base64 ("Upload Job Data")
MAX_INLINE_CHARACTERS = 100_000  # of data sent along with the create call


def _shown(job: Job) -> dict[str, Any]:
    info = job.info
    told: dict[str, Any] = {
        "id": info.identifier,
        "operation": info.operation,
        "object": info.object,
        "createdDate": info.created,
        "systemModstamp": info.modified,
        "state": info.state,
        "concurrencyMode": "Parallel",
        "contentType": "CSV",
        "apiVersion": float(info.version),
        "jobType": "V2Ingest",
        "contentUrl": f"services/data/v{info.version}.0/jobs/ingest/{info.identifier}/batches",
        "lineEnding": info.line_ending,
        "columnDelimiter": info.delimiter,
        "retries": 0,
        "totalProcessingTime": info.working,
        "apiActiveProcessingTime": info.working,
        "apexProcessingTime": 0,
        "numberRecordsProcessed": info.done,
        "numberRecordsFailed": info.failed,
    }
    if info.key is not None:
        told["externalIdFieldName"] = info.key
    if info.error is not None:
        told["errorMessage"] = info.error
    return told


def _invalid(message: str, code: str = "INVALIDJOB") -> ApiError:
    return ApiError(400, code, message)


def _create(work: Work, call: Call) -> Answer:
    told = call.object_body()
    entity = work.org.schema.entity(str(told.get("object")))
    if entity is None:
        raise _invalid(
            f"InvalidEntity : Entity '{told.get('object')}' is not supported by the Bulk API.",
            "INVALIDENTITY",
        )
    operation = next((known for known in get_args(Operation) if known == told.get("operation")), None)
    if operation is None:
        raise _invalid(f"InvalidJob : Invalid operation {told.get('operation')}")
    if told.get("contentType", "CSV") != "CSV":
        raise _invalid("InvalidJob : Invalid contentType, only CSV is taken")
    key = None
    if operation == "upsert":
        field = entity.field(str(told.get("externalIdFieldName")))
        if field is None or not (field.external_id or field.id_lookup):
            raise _invalid(f"InvalidJob : Invalid external ID field {told.get('externalIdFieldName')}")
        key = field.name
    delimiter, line_ending = str(told.get("columnDelimiter", "COMMA")), str(told.get("lineEnding", "LF"))
    if delimiter not in DELIMITERS or line_ending not in LINE_ENDINGS:
        raise _invalid(f"InvalidJob : Invalid columnDelimiter {delimiter} or lineEnding {line_ending}")
    if call.attachment is not None and len(call.attachment.decode(errors="replace")) > MAX_INLINE_CHARACTERS:
        raise _invalid(f"InvalidJob : data of more than {MAX_INLINE_CHARACTERS} characters needs an upload")
    job = work.jobs.open(
        entity, operation, call.version, key=key, delimiter=delimiter, line_ending=line_ending
    )
    if call.attachment is not None:
        work.jobs.upload(job, call.attachment)
        _close(work, job)
    return Answer(body=_shown(job))


def _job(work: Work, call: Call) -> Job:
    if (job := work.jobs.get(call.names["job"])) is None:
        raise not_found()
    return job


def _upload(work: Work, call: Call) -> Answer:
    job = _job(work, call)
    if job.info.state != "Open" or job.data:
        raise _invalid(
            f"Upload failed: the job is {job.info.state} and takes data once, while it is Open",
            "INVALIDJOBSTATE",
        )
    if not isinstance(call.body, bytes) or not call.body:
        raise _invalid("InvalidBatch : data as text/csv is needed", "INVALIDBATCH")
    if len(call.body) > MAX_UPLOAD_BYTES:
        raise ApiError(413, "REQUEST_ENTITY_TOO_LARGE", f"data of more than {MAX_UPLOAD_BYTES} bytes")
    work.jobs.upload(job, call.body)
    return Answer(201)


def _close(work: Work, job: Job) -> None:
    if work.org.batches_used.used >= work.org.options.daily_bulk_batches:
        raise ApiError(403, "REQUEST_LIMIT_EXCEEDED", "ExceededQuota : DailyBulkApiBatches Limit exceeded.")
    work.jobs.close(job)


def _patch(work: Work, call: Call) -> Answer:
    job = _job(work, call)
    state = call.object_body().get("state")
    if state == "UploadComplete" and job.info.state == "Open":
        _close(work, job)
    elif state == "Aborted" and not job.ended:
        work.jobs.abort(job)
    else:
        raise _invalid(
            f"InvalidJobState : a job that is {job.info.state} cannot be {state}", "INVALIDJOBSTATE"
        )
    return Answer(body=_shown(job))


def _get(work: Work, call: Call) -> Answer:
    return Answer(body=_shown(_job(work, call)))


def _list(work: Work, call: Call) -> Answer:
    jobs = [_shown(job) for job in reversed(work.jobs.all())]
    return Answer(body={"done": True, "nextRecordsUrl": None, "records": jobs})


def _delete(work: Work, call: Call) -> Answer:
    job = _job(work, call)
    if job.info.state in ("Open", "InProgress"):
        raise _invalid(
            f"InvalidJobState : a job that is {job.info.state} cannot be deleted", "INVALIDJOBSTATE"
        )
    work.jobs.delete(job)
    return Answer(204)


def _results(which: Results) -> Handler:
    def answer(work: Work, call: Call) -> Answer:
        job = _job(work, call)
        if not job.ended:
            raise _invalid(f"InvalidJobState : results of a job that is {job.info.state}", "INVALIDJOBSTATE")
        return Answer(body=job.results(which, work.org.options.seed), content_type="text/csv")

    return answer


ROUTES = (
    route("POST", "/jobs/ingest", "bulk-create", _create),
    route("GET", "/jobs/ingest", "bulk-list", _list),
    route("GET", "/jobs/ingest/{job}", "bulk-status", _get),
    route("PATCH", "/jobs/ingest/{job}", "bulk-close", _patch),
    route("DELETE", "/jobs/ingest/{job}", "bulk-delete", _delete),
    route("PUT", "/jobs/ingest/{job}/batches", "bulk-upload", _upload),
    route("GET", "/jobs/ingest/{job}/successfulResults", "bulk-results", _results("successful")),
    route("GET", "/jobs/ingest/{job}/failedResults", "bulk-results", _results("failed")),
    route("GET", "/jobs/ingest/{job}/unprocessedRecords", "bulk-results", _results("unprocessed")),
)
