//! Reads which media types a client accepts.

use http::HeaderMap;
use http::header::ACCEPT;

use super::super::error::ApiError;

/// The shape of an answer about objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Complete objects.
    Whole,
    /// Tables for kubectl.
    Table,
    /// Metadata only.
    Metadata,
}

fn accepted(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|media| !media.is_empty())
}

fn parameter<'a>(media: &'a str, name: &str) -> Option<&'a str> {
    let parameters = media.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('='));
    parameters.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn is_json(media: &str) -> bool {
    matches!(media.split(';').next().map(str::trim), Some("application/json" | "*/*" | "application/*"))
}

/// Returns the first acceptable shape.
pub(crate) fn shape(headers: &HeaderMap) -> Result<Shape, ApiError> {
    let mut any = false;
    for media in accepted(headers) {
        any = true;
        if !is_json(media) {
            continue;
        }
        match parameter(media, "as") {
            None => return Ok(Shape::Whole),
            Some("Table") => return Ok(Shape::Table),
            Some("PartialObjectMetadata" | "PartialObjectMetadataList") => return Ok(Shape::Metadata),
            Some(_) => {}
        }
    }
    if any { Err(ApiError::NotAcceptable) } else { Ok(Shape::Whole) }
}

/// Returns the version of the aggregated discovery if that is the first thing the client accepts.
pub(crate) fn aggregated_discovery(headers: &HeaderMap) -> Option<&str> {
    let first = accepted(headers).find(|media| is_json(media))?;
    let version = parameter(first, "v").filter(|version| matches!(*version, "v2" | "v2beta1"))?;
    (parameter(first, "as") == Some("APIGroupDiscoveryList")).then_some(version)
}
