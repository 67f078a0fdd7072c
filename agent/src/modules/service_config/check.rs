//! The check of a file as it will be.

use super::file::{self, Document, Kind};
use super::{Checks, ModuleError, Params, Service, ServiceConfig};
use kfleet_config::{Extent, Finding, Release, Settings, Severity, kafka, zookeeper};
use kfleet_model::{Map, Value};

/// One problem as a sentence: where, what, and what to do.
pub(super) fn sentence(finding: &Finding) -> String {
    let line = finding.line.map(|line| format!("line {line}: ")).unwrap_or_default();
    let hint = finding.problem.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{line}{}{hint}", finding.problem)
}

impl ServiceConfig {
    /// All that is wrong with a file.
    ///
    /// Keys that the service would only ignore are errors where the task sets them and warnings where they were there
    /// before.
    pub(super) fn findings(&self, params: &Params, wanted: &Document) -> Result<Vec<Finding>, ModuleError> {
        let Document::Properties(properties) = wanted else { return Ok(Vec::new()) };
        if params.kind != Kind::Server || params.checks == Checks::None {
            return Ok(Vec::new());
        }
        let release = release(params)?;
        let extra = file::texts("extra_keys", &params.extra_keys)?;
        let all = Settings::from(properties);
        let mut of_task = Settings::default();
        for key in params.settings.keys() {
            of_task.copy(&all, key);
        }
        let (settings, extent) = match params.checks {
            Checks::All | Checks::None => (&all, Extent::Whole),
            Checks::Keys => (&of_task, Extent::Part),
        };
        let mut found = match self.service {
            Service::Kafka => kafka::check(kafka::Node { release, extent, settings, extra: &extra }),
            Service::ZooKeeper => {
                zookeeper::check(zookeeper::Server { release, extent, settings, my_id: params.myid, extra: &extra })
            }
        };
        for finding in &mut found {
            if finding.problem.is_passed_over() && !params.settings.contains_key(&finding.key) {
                finding.severity = Severity::Warning;
            }
        }
        Ok(found)
    }

    /// Fails when there is an error among the findings.
    pub(super) fn refuse_errors(&self, params: &Params, wanted: &Document) -> Result<(), ModuleError> {
        let found = self.findings(params, wanted)?;
        let errors: Vec<String> =
            found.iter().filter(|finding| finding.severity == Severity::Error).map(sentence).collect();
        if errors.is_empty() {
            return Ok(());
        }
        let msg = format!("{} is not right: {}", params.path(self.service), errors.join("; "));
        let findings: Vec<Value> = found.iter().map(told).collect();
        Err(ModuleError::Failed { msg, data: Map::from_iter([("findings".to_owned(), findings.into())]) })
    }
}

fn release(params: &Params) -> Result<Release, ModuleError> {
    let version = params.version.as_deref().ok_or_else(|| {
        ModuleError::Invalid("version is needed to check the keys (as 3.9.1; checks: none goes without)".to_owned())
    })?;
    version.parse().map_err(|error: kfleet_config::ReleaseError| ModuleError::Invalid(format!("version {error}")))
}

/// A finding as a value of the result.
fn told(finding: &Finding) -> Value {
    let severity = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut map = Map::new();
    map.insert("severity".into(), severity.into());
    map.insert("key".into(), finding.key.clone().into());
    map.insert("line".into(), finding.line.map_or(Value::Null, Value::from));
    map.insert("text".into(), finding.problem.to_string().into());
    map.insert("hint".into(), finding.problem.hint().map_or(Value::Null, Value::from));
    Value::Object(map)
}
