//! stub
#![allow(missing_docs)]
#[derive(Debug)]
pub struct Schema;
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct SchemaError;
impl Schema {
    pub fn load(_: &[std::path::PathBuf], _: &[String]) -> Result<std::sync::Arc<Schema>, SchemaError> {
        Ok(std::sync::Arc::new(Schema))
    }
}
