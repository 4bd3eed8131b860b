//! `legation import`: documents for `legation apply` of what people have.
//!
//! | module | holds |
//! |---|---|
//! | `tree` | from texts to values, within bounds |
//! | `cloudformation`, `kubernetes`, `terraform`, `app_mesh` | a source each: what it finds in a value |
//! | `live` | what an endpoint of App Mesh's API answers |
//! | `fit` | from a source's names and types to the model's |
//! | `given` | what the command line adds to the files |
//! | `findings` | what was found, and what there is to say about the rest |
//! | `documents` | from what was found to what is written |
//! | `report` | what is said |

mod app_mesh;
mod cloudformation;
mod documents;
mod findings;
mod fit;
mod given;
mod kubernetes;
mod live;
mod report;
mod terraform;
mod tree;

use std::fs;
use std::io::{ErrorKind, Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use self::documents::Documents;
use self::findings::{Findings, Weight};
use self::given::Given;
use self::kubernetes::Objects;
use self::tree::Part;
use super::address;
use super::client::ApiArgs;
use super::files::{self, Unreadable};
use super::text::Text;

/// The endings of the files that are taken from a directory.
const ENDINGS: [&str; 7] = ["yaml", "yml", "json", "template", "tfstate", "jsonl", "ndjson"];

const EXAMPLES: &str = "\
Examples:
  legation import mesh.yaml --parameter EnvironmentName=prod -o definitions.yaml
  kubectl get meshes,virtualnodes,virtualservices,virtualrouters,virtualgateways,gatewayroutes -A -o yaml | legation import -
  terraform show -json | legation import - | legation apply -f -
  legation import --from-endpoint http://10.0.0.5:8080 -o backup.yaml

Exit codes:
  0  everything was carried over
  1  something was left out, or the API would refuse it: see standard error; the rest was written
  2  wrong usage, something cannot be read, or there is nothing to import; nothing was written";

/// Write documents for apply, of what defines a mesh elsewhere.
///
/// Reads CloudFormation templates, resources of the App Mesh controller for Kubernetes, states and plans of Terraform in JSON,
/// and what App Mesh's API answers. What could not be carried over is said on standard error, with its place and what to do.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = EXAMPLES)]
pub struct ImportArgs {
    /// A file, a directory (its *.yaml, *.yml, *.json, *.jsonl, *.template and *.tfstate files, and those below it), or - for
    /// standard input
    #[arg(
        value_name = "FILE|DIR|-",
        required_unless_present = "from_endpoint",
        conflicts_with = "from_endpoint"
    )]
    files: Vec<String>,

    /// What the files are
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Where to write to; - is standard output
    #[arg(short, long, value_name = "FILE|-", default_value = "-")]
    output: String,

    /// A parameter of a CloudFormation template
    #[arg(long = "parameter", value_name = "NAME=VALUE", value_parser = assignment)]
    parameters: Vec<(String, String)>,

    /// A value that the files do not tell, by the name that is said where it is missing
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = assignment)]
    values: Vec<(String, String)>,

    /// CloudFormation's AWS::Region; us-east-1 if not given
    #[arg(long)]
    region: Option<String>,

    /// CloudFormation's AWS::AccountId; 000000000000 if not given
    #[arg(long)]
    account: Option<String>,

    /// CloudFormation's AWS::Partition; aws if not given
    #[arg(long)]
    partition: Option<String>,

    /// CloudFormation's AWS::StackName
    #[arg(long, value_name = "NAME")]
    stack_name: Option<String>,

    /// The mesh of resources of Kubernetes or of App Mesh's API that do not say theirs; with --from-endpoint, the only mesh to import
    #[arg(long, value_name = "NAME")]
    mesh: Option<String>,

    /// The namespace of Kubernetes resources that do not say theirs
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,

    /// Import what the App Mesh API at this address has
    #[arg(long, value_name = "URL", value_parser = address::parse)]
    from_endpoint: Option<String>,

    /// PEM file with the certificates of the authorities to trust there, instead of those of this system [default:
    /// AWS_CA_BUNDLE]
    #[arg(long, env = "LEGATION_CA_CERTIFICATE", value_name = "FILE")]
    ca_certificate: Option<PathBuf>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// What its content looks like
    #[default]
    Auto,
    /// A CloudFormation template
    #[value(name = "cloudformation")]
    CloudFormation,
    /// Resources of the App Mesh controller
    Kubernetes,
    /// A state or plan in JSON
    Terraform,
    /// Answers of App Mesh's API, or documents for apply
    AppMesh,
}

/// Imports what `args` name, writes it, and says in the exit code how complete it is.
pub fn run(args: &ImportArgs) -> ExitCode {
    let outcome = import(args);
    let written =
        outcome.documents.as_ref().map_or(Ok(()), |documents| write(&args.output, &documents.to_yaml()));
    let written = written.map_err(|error| format!("{}: cannot be written: {error}", args.output));
    let exit_code = if written.is_ok() { outcome.exit_code() } else { 2 };
    report::print(&mut stderr().lock(), &outcome, written);
    ExitCode::from(exit_code)
}

/// What an import of one file with this name and text writes, and its exit code: for those who have a text at hand.
pub fn import_text(name: &str, text: &str) -> (String, u8) {
    let args = ImportArgs { namespace: "default".to_owned(), ..ImportArgs::default() };
    let input = Text { name: name.to_owned(), text: text.to_owned() };
    let outcome = import_inputs(&[input], &args);
    let written = outcome.documents.as_ref().map(Documents::to_yaml).unwrap_or_default();
    (written, outcome.exit_code())
}

fn write(output: &str, text: &str) -> std::io::Result<()> {
    if output != "-" {
        return fs::write(output, text);
    }
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // who closes it has read enough
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// What became of an import.
struct Outcome {
    /// What is to be written. Nothing, if the input cannot be used.
    documents: Option<Documents>,
    /// What there is to say.
    findings: Findings,
    /// Why the input cannot be used.
    errors: Vec<String>,
}

impl Outcome {
    fn unusable(errors: Vec<String>) -> Outcome {
        Outcome { documents: None, findings: Findings::default(), errors }
    }

    fn exit_code(&self) -> u8 {
        match &self.documents {
            None => 2,
            Some(_) => u8::from(self.findings.said.iter().any(|finding| finding.weight != Weight::Note)),
        }
    }
}

fn import(args: &ImportArgs) -> Outcome {
    if let Some(endpoint) = &args.from_endpoint {
        let api = ApiArgs { endpoint: endpoint.clone(), ca_certificate: args.ca_certificate.clone() };
        return match live::read(&api, args.mesh.as_deref()) {
            Ok(findings) => finish(findings),
            Err(error) => Outcome::unusable(vec![error]),
        };
    }
    let (mut inputs, mut errors) = (Vec::new(), Vec::new());
    for text in files::read_all(&args.files, &ENDINGS) {
        match text {
            Ok(text) => inputs.push(text),
            Err(Unreadable { name, problem }) => errors.push(format!("{name}: {problem}")),
        }
    }
    if errors.is_empty() { import_inputs(&inputs, args) } else { Outcome::unusable(errors) }
}

fn import_inputs(inputs: &[Text], args: &ImportArgs) -> Outcome {
    let mut errors = Vec::new();
    let mut findings = Findings::default();
    let mut objects = Objects::default();
    let settings = cloudformation_settings(args);
    for input in inputs {
        match tree::parse(input) {
            Ok(parts) => {
                for part in parts {
                    take(part, args, &settings, &mut objects, &mut findings, &mut errors);
                }
            }
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        return Outcome::unusable(errors);
    }
    // references go from file to file
    objects.import(args.mesh.as_deref(), &args.namespace, &mut findings);
    for (flag, given) in [("--parameter", &settings.parameters), ("--set", &settings.values)] {
        for name in given.unused() {
            findings.left_out(flag, format_args!("nothing asks for {name}; is it misspelt?"));
        }
    }
    finish(findings)
}

/// Finds out what a value is, and takes it for that.
fn take(
    part: Part,
    args: &ImportArgs,
    settings: &cloudformation::Settings,
    objects: &mut Objects,
    findings: &mut Findings,
    errors: &mut Vec<String>,
) {
    let recognised = match args.format {
        Format::Auto => recognise(&part),
        format => Some(format),
    };
    let taken = match recognised {
        Some(Format::CloudFormation) => cloudformation::import(&part, settings, findings),
        Some(Format::Kubernetes) => objects.add(part),
        Some(Format::Terraform) => terraform::import(&part, &settings.values, findings),
        Some(Format::AppMesh) => app_mesh::import(part, args.mesh.as_deref(), findings),
        Some(Format::Auto) | None => {
            findings.note(&part.place, "is nothing that can be imported");
            return;
        }
    };
    if let Err(problem) = taken {
        errors.push(problem);
    }
}

fn recognise(part: &Part) -> Option<Format> {
    let value = &part.value;
    let table = [
        (Format::CloudFormation, cloudformation::is_template(value)),
        (Format::Kubernetes, kubernetes::is_object(value)),
        (Format::Terraform, terraform::is_state_or_plan(value)),
        (Format::AppMesh, app_mesh::is_export(value)),
    ];
    table.into_iter().find(|(_, is_it)| *is_it).map(|(format, _)| format)
}

fn cloudformation_settings(args: &ImportArgs) -> cloudformation::Settings {
    cloudformation::Settings {
        parameters: Given::new(&args.parameters),
        values: Given::new(&args.values),
        region: args.region.clone(),
        account: args.account.clone(),
        partition: args.partition.clone(),
        stack_name: args.stack_name.clone(),
    }
}

fn finish(mut findings: Findings) -> Outcome {
    let documents = Documents::take(&mut findings);
    let mut errors = Vec::new();
    if documents.len() == 0 {
        let is_left_out = findings.said.iter().any(|finding| finding.weight == Weight::LeftOut);
        let error = if is_left_out { "nothing could be carried over" } else { "there is nothing to import" };
        errors.push(error.to_owned());
    }
    let documents = Some(documents).filter(|_| errors.is_empty());
    Outcome { documents, findings, errors }
}

fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("is not NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests;
