//! Handles Set requests by committing a private candidate.

use jiff::Timestamp;
use serde_json::Value;
use srl_proto::gnmi as pb;
use tonic::Status;

use super::wire::{check_origin, invalid, nanoseconds};
use crate::datastore::{Candidate, CommitError, Datastore};
use crate::path::Path;
use pb::typed_value::Value as Typed;
use pb::update_result::Operation;

pub(super) async fn answer(store: &Datastore, request: pb::SetRequest) -> Result<pb::SetResponse, Status> {
    if !request.union_replace.is_empty() {
        return Err(Status::unimplemented("union_replace is not supported"));
    }
    let paths = request.replace.iter().chain(&request.update).filter_map(|update| update.path.as_ref());
    check_origin(request.prefix.iter().chain(&request.delete).chain(paths))?;
    let candidate = store.private_candidate();
    let mut response = Vec::new();
    for path in &request.delete {
        delete(&candidate, &Path::from_gnmi(request.prefix.as_ref(), Some(path)))?;
        response.push(result(Some(path), Operation::Delete));
    }
    for (updates, operation) in [(&request.replace, Operation::Replace), (&request.update, Operation::Update)] {
        for update in updates {
            write(&candidate, request.prefix.as_ref(), update, operation)?;
            response.push(result(update.path.as_ref(), operation));
        }
    }
    store.commit(&candidate).await.map_err(|error| refused(&error))?;
    Ok(pb::SetResponse {
        prefix: request.prefix,
        response,
        timestamp: nanoseconds(Timestamp::now()),
        ..pb::SetResponse::default()
    })
}

fn delete(candidate: &Candidate, path: &Path) -> Result<(), Status> {
    candidate.delete(path).map_err(|refusal| invalid(&refusal))
}

fn write(
    candidate: &Candidate,
    prefix: Option<&pb::Path>,
    update: &pb::Update,
    operation: Operation,
) -> Result<(), Status> {
    let path = Path::from_gnmi(prefix, update.path.as_ref());
    let typed = update.val.as_ref().and_then(|val| val.value.as_ref());
    let typed = typed.ok_or_else(|| Status::invalid_argument(format!("{path}: the update has no value")))?;
    let value = json(typed).map_err(|message| Status::invalid_argument(format!("{path}: {message}")))?;
    let done = match operation {
        Operation::Replace => candidate.replace(&path, &value),
        _ => candidate.set(&path, &value),
    };
    done.map_err(|refusal| invalid(&refusal))
}

fn json(typed: &Typed) -> Result<Value, String> {
    Ok(match typed {
        Typed::JsonIetfVal(bytes) | Typed::JsonVal(bytes) => {
            serde_json::from_slice(bytes).map_err(|error| format!("the value is not JSON: {error}"))?
        }
        Typed::StringVal(text) | Typed::AsciiVal(text) => text.as_str().into(),
        Typed::IntVal(number) => (*number).into(),
        Typed::UintVal(number) => (*number).into(),
        Typed::BoolVal(value) => (*value).into(),
        Typed::DoubleVal(number) => (*number).into(),
        Typed::LeaflistVal(array) => {
            let values = array.element.iter().filter_map(|it| it.value.as_ref());
            Value::Array(values.map(json).collect::<Result<_, _>>()?)
        }
        _ => return Err("this type of value is not supported".to_owned()),
    })
}

fn refused(error: &CommitError) -> Status {
    match error {
        CommitError::Invalid(refusal) => invalid(refusal),
        CommitError::Unconfirmed | CommitError::Refused(_) => Status::aborted(format!("Commit failed: {error}")),
    }
}

fn result(path: Option<&pb::Path>, operation: Operation) -> pb::UpdateResult {
    pb::UpdateResult { path: path.cloned(), op: operation.into(), ..pb::UpdateResult::default() }
}
