//! The file that `lehr train` reads: a run's configuration in TOML, with presets and overrides.

use crate::batches::Batches;
use crate::config::{ExpertsConfig, ModelConfig, OptimiserConfig, Parametrisation};
use crate::data::Corpus;
use crate::error::TrainError;
use crate::preset;
use crate::run_config::{DataConfig, RunConfig};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A training run in TOML. Every key has a default; the command line overrides the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainFile {
    /// A preset's name, or a table of keys that override a preset's.
    pub model: ModelChoice,
    /// The optimiser.
    pub optimiser: OptimiserConfig,
    /// The data.
    pub data: DataConfig,
    /// Sequences per update, 1 … 1,048,576.
    pub batch: u32,
    /// Seed of initial weights and of the data's order.
    pub seed: u64,
    /// Updates between two validations; 0: only after the last update.
    pub validate_every: u64,
    /// The learning-rate schedule as text, as `lehr schedule` prints it: `wsd:peak=3e-3,total=1000,warmup=50,ratio=0.2`.
    pub schedule: Option<String>,
}

impl Default for TrainFile {
    fn default() -> Self {
        Self {
            model: ModelChoice::Preset(preset::DEFAULT.to_owned()),
            optimiser: OptimiserConfig::default(),
            data: DataConfig::default(),
            batch: 16,
            seed: 0,
            validate_every: 50,
            schedule: None,
        }
    }
}

/// A model by name, or by keys.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
#[serde(untagged)]
pub enum ModelChoice {
    /// The name of a preset.
    Preset(String),
    /// Keys that override those of a preset, or a whole model.
    Keys(Box<ModelKeys>),
}

impl<'de> Deserialize<'de> for ModelChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Choice;
        impl<'de> Visitor<'de> for Choice {
            type Value = ModelChoice;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the name of a preset or a table of keys")
            }

            fn visit_str<E>(self, name: &str) -> Result<ModelChoice, E> {
                Ok(ModelChoice::Preset(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ModelChoice, A::Error> {
                ModelKeys::deserialize(MapAccessDeserializer::new(map))
                    .map(|keys| ModelChoice::Keys(Box::new(keys)))
            }
        }
        deserializer.deserialize_any(Choice)
    }
}

/// The keys of a model; those left out are the preset's. Without a preset the sizes must be there.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ModelKeys {
    /// A preset, which gives the keys that are left out.
    pub preset: Option<String>,
    /// Vocabulary V, 2 … 1,048,576; none: the data's.
    pub vocabulary: Option<u32>,
    /// Tokens in a sequence T, 2 … 65,536.
    pub context: Option<u32>,
    /// Width d, a multiple of 8 and of `heads`.
    pub width: Option<u32>,
    /// Number of blocks, 1 … 256.
    pub layers: Option<u32>,
    /// Attention heads; the head's width d/heads is even.
    pub heads: Option<u32>,
    /// Inner width of the SwiGLU of a dense block, a multiple of 8.
    pub hidden: Option<u32>,
    /// Whether the output head is the embedding.
    pub tied: Option<bool>,
    /// Base of the rotary frequencies, > 1.
    pub rope_theta: Option<f64>,
    /// ε of RMSNorm, between 0 and 1.
    pub norm_epsilon: Option<f64>,
    /// Initial scales and rates.
    pub parametrisation: Option<Parametrisation>,
    /// Mixture of experts in every block.
    pub experts: Option<ExpertsKeys>,
}

/// The keys of a mixture of experts; those left out are the preset's.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExpertsKeys {
    /// Routed experts per layer, 2 … 1024.
    pub count: Option<u32>,
    /// Experts a token is routed to, 1 … count.
    pub top_k: Option<u32>,
    /// Inner width of one expert, a multiple of 8.
    pub hidden: Option<u32>,
    /// Shared experts that every token passes, 0 … 64.
    pub shared: Option<u32>,
    /// Coefficient of the load-balance loss, ≥ 0.
    pub balance: Option<f64>,
    /// Coefficient of the router's z-loss, ≥ 0.
    pub z: Option<f64>,
}

fn needed<T>(key: &str, given: Option<T>, preset: Option<T>) -> Result<T, TrainError> {
    given.or(preset).ok_or_else(|| {
        TrainError::config(format!("model.{key}"), "missing", "a value, or model.preset to give it")
    })
}

impl ExpertsKeys {
    fn over(&self, preset: Option<ExpertsConfig>) -> Result<ExpertsConfig, TrainError> {
        let of = preset.as_ref();
        Ok(ExpertsConfig {
            count: needed("experts.count", self.count, of.map(|of| of.count))?,
            top_k: needed("experts.top_k", self.top_k, of.map(|of| of.top_k))?,
            hidden: needed("experts.hidden", self.hidden, of.map(|of| of.hidden))?,
            shared: self.shared.or(of.map(|of| of.shared)).unwrap_or(0),
            balance: self.balance.or(of.map(|of| of.balance)).unwrap_or(0.01),
            z: self.z.or(of.map(|of| of.z)).unwrap_or(0.001),
        })
    }
}

impl ModelChoice {
    /// The vocabulary, where one is stated.
    #[must_use]
    pub fn vocabulary(&self) -> Option<u32> {
        match self {
            Self::Preset(_) => None,
            Self::Keys(keys) => keys.vocabulary,
        }
    }

    /// The keys, to override some; a name becomes the preset of keys without any.
    pub fn keys(&mut self) -> &mut ModelKeys {
        if let Self::Preset(name) = self {
            *self = Self::Keys(Box::new(ModelKeys {
                preset: Some(std::mem::take(name)),
                ..ModelKeys::default()
            }));
        }
        match self {
            Self::Keys(keys) => keys,
            Self::Preset(_) => unreachable!("it was turned into keys"),
        }
    }

    /// The model, checked. `vocabulary` is the data's, used where the keys state none.
    ///
    /// # Errors
    /// [`TrainError::Config`]: an unknown preset, a missing key, or one outside its range.
    pub fn model(&self, vocabulary: u32) -> Result<ModelConfig, TrainError> {
        let model = match self {
            Self::Preset(name) => ModelConfig { vocabulary, ..preset::preset(name)? },
            Self::Keys(keys) => {
                let base = keys.preset.as_deref().map(preset::preset).transpose()?;
                let of = base.as_ref();
                let experts = base.as_ref().and_then(|base| base.experts.clone());
                let experts = match &keys.experts {
                    Some(keys) => Some(keys.over(experts)?),
                    None => experts,
                };
                ModelConfig {
                    vocabulary: keys.vocabulary.unwrap_or(vocabulary),
                    context: needed("context", keys.context, of.map(|of| of.context))?,
                    width: needed("width", keys.width, of.map(|of| of.width))?,
                    layers: needed("layers", keys.layers, of.map(|of| of.layers))?,
                    heads: needed("heads", keys.heads, of.map(|of| of.heads))?,
                    // A mixture of experts does not use it.
                    hidden: match &experts {
                        Some(_) => keys.hidden.or(of.map(|of| of.hidden)).unwrap_or(0),
                        None => needed("hidden", keys.hidden, of.map(|of| of.hidden))?,
                    },
                    tied: keys.tied.or(of.map(|of| of.tied)).unwrap_or(false),
                    rope_theta: keys.rope_theta.or(of.map(|of| of.rope_theta)).unwrap_or(10_000.0),
                    norm_epsilon: keys.norm_epsilon.or(of.map(|of| of.norm_epsilon)).unwrap_or(1e-5),
                    parametrisation: keys
                        .parametrisation
                        .or(of.map(|of| of.parametrisation))
                        .unwrap_or_default(),
                    experts,
                }
            }
        };
        model.check()?;
        Ok(model)
    }
}

impl TrainFile {
    /// Reads a file's text; `file` names it in errors.
    ///
    /// # Errors
    /// [`TrainError::Data`] with the line for text that is not TOML, an unknown key or a value of the wrong type.
    ///
    /// # Examples
    /// ```
    /// use lehr_train::TrainFile;
    /// # fn main() -> Result<(), lehr_train::TrainError> {
    /// let file = TrainFile::parse("run.toml", "batch = 8\n[model]\npreset = 'moe-8x0.1m'\nlayers = 3\n")?;
    /// let run = file.run(256)?;
    /// assert_eq!((run.batch, run.model.layers, run.model.width), (8, 3, 64));
    /// # Ok(())
    /// # }
    /// ```
    pub fn parse(file: &str, text: &str) -> Result<Self, TrainError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            TrainError::Data {
                place: format!("{file}:{line}"),
                problem: error.message().trim().replace('\n', ", "),
                expected: "the keys and types of docs/formats/train.schema.json".to_owned(),
            }
        })
    }

    /// The run, checked. `vocabulary` is the data's, used where the model states none.
    ///
    /// # Errors
    /// [`TrainError::Config`] names the first key outside its range and the range.
    pub fn run(&self, vocabulary: u32) -> Result<RunConfig, TrainError> {
        let run = RunConfig {
            model: self.model.model(vocabulary)?,
            optimiser: self.optimiser.clone(),
            data: self.data.clone(),
            batch: self.batch,
            seed: self.seed,
            validate_every: self.validate_every,
            noise_every: 0,
        };
        run.check()?;
        Ok(run)
    }

    /// The run and its data, opened: the model's vocabulary is the data's where the file states none.
    ///
    /// # Errors
    /// As [`TrainFile::run`] and [`Corpus::for_run`].
    pub fn open(&self) -> Result<(RunConfig, Corpus), TrainError> {
        // What the data say about the vocabulary matters to nothing else.
        let stated = self.model.vocabulary();
        let run = self.run(stated.unwrap_or(256))?;
        if stated.is_some() {
            let corpus = Corpus::for_run(&run)?;
            return Ok((run, corpus));
        }
        let corpus = Corpus::open(&run.data, run.model.context as usize, run.batch as usize, run.seed)?;
        Ok((self.run(corpus.vocabulary())?, corpus))
    }

    /// The JSON Schema of the file.
    #[must_use]
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}

/// Adds file and line to an error about a key, where the key (or the table it is missing from) stands in the file.
#[must_use]
pub fn at_line(file: &str, text: &str, error: TrainError) -> TrainError {
    let TrainError::Config { key, found, expected } = error else { return error };
    let Ok(root) = toml::de::DeTable::parse(text) else { return TrainError::Config { key, found, expected } };
    let mut table = Some(root.get_ref());
    let mut start = None;
    for part in key.split('.') {
        let Some((name, value)) =
            table.and_then(|table| table.iter().find(|(name, _)| name.get_ref() == part))
        else {
            break;
        };
        start = Some(name.span().start);
        table = value.get_ref().as_table();
    }
    let key = match start {
        Some(at) => format!("{file}:{}: {key}", line_of(text, at)),
        None => key,
    };
    TrainError::Config { key, found, expected }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let result = TrainFile::parse("run.toml", text).and_then(|file| file.run(256));
        result.map_err(|error| at_line("run.toml", text, error)).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_default_run() {
        let run = TrainFile::parse("run.toml", "").unwrap().run(96).unwrap();
        assert_eq!(run.model, ModelConfig { vocabulary: 96, ..preset::preset(preset::DEFAULT).unwrap() });
        assert_eq!((run.batch, run.validate_every), (16, 50));
    }

    #[test]
    fn keys_override_a_preset_and_a_whole_model_needs_none() {
        let text = "[model]\npreset = 'moe-8x0.2m'\nvocabulary = 300\n[model.experts]\ntop_k = 4\n";
        let model = TrainFile::parse("run.toml", text).unwrap().run(256).unwrap().model;
        let experts = model.experts.unwrap();
        assert_eq!((model.vocabulary, experts.count, experts.top_k, experts.hidden), (300, 8, 4, 88));
        let text = "[model]\ncontext = 64\nwidth = 16\nlayers = 1\nheads = 2\nhidden = 32\n[model.parametrisation.mup]\nbase_width = 64";
        let model = TrainFile::parse("run.toml", text).unwrap().run(256).unwrap().model;
        assert_eq!(model.parametrisation, Parametrisation::Mup { base_width: 64 });
        assert_eq!((model.width, model.tied, model.rope_theta), (16, false, 10_000.0));
    }

    #[test]
    fn errors_name_key_line_and_allowed_range() {
        for (text, words) in [
            (
                "batch = 8\n[model]\npreset = 'dense-0.1m'\nwidth = 12\n",
                "run.toml:4: model.width is 12; expected a multiple of 8",
            ),
            ("model = 'dense-9m'\n", "'dense-9m'; expected one of dense-0.03m"),
            ("batch = 0\n", "run.toml:1: batch is 0; expected 1 … 1,048,576"),
            (
                "\n[optimiser]\nbeta2 = 1.0\n",
                "run.toml:3: optimiser.beta2 is 1; expected a number from 0 to below 1",
            ),
            ("[model]\nwidth = 16\n", "model.context is missing"),
            ("[model.experts]\ncount = 4\n", "run.toml:1: model.experts.top_k is missing"),
            ("[data]\nbits = 8\n", "run.toml:2: data.bits is 8; expected 16 or 32"),
            ("batch = 8\nbtach = 2\n", "run.toml:2: unknown field `btach`, expected one of"),
            ("[model]\npreset = 'dense-0.1m'\nwdith = 2\n", "run.toml:3: unknown field `wdith`"),
            ("batch = 'x'\n", "run.toml:1: invalid type: string \"x\", expected u32"),
            ("batch = -1\n", "run.toml:1: invalid value: integer `-1`, expected u32"),
            ("model = 3\n", "expected the name of a preset or a table of keys"),
            ("batch = \n", "run.toml:1: "),
        ] {
            let error = complaint(text);
            assert!(error.contains(words), "{error}\n(wanted {words})");
        }
    }

    #[test]
    fn the_schema_in_the_documentation_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats/train.schema.json");
        let text = serde_json::to_string_pretty(&TrainFile::schema()).unwrap() + "\n";
        if std::env::var_os("LEHR_WRITE_REFERENCE").is_some() {
            std::fs::write(path, &text).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            text,
            "LEHR_WRITE_REFERENCE=1 cargo test -p lehr-train schema writes it"
        );
    }

    #[test]
    fn every_key_of_the_schema_is_documented() {
        fn check(at: &str, value: &serde_json::Value) {
            if let Some(properties) = value.get("properties").and_then(|value| value.as_object()) {
                for (name, property) in properties {
                    // The one key of a variant is described with the variant.
                    let described = property.get("description").or(value.get("description"));
                    assert!(described.is_some(), "{at}.{name} has no description");
                }
            }
            match value {
                serde_json::Value::Object(map) => {
                    map.iter().for_each(|(key, value)| check(&format!("{at}/{key}"), value))
                }
                serde_json::Value::Array(items) => items.iter().for_each(|item| check(at, item)),
                _ => {}
            }
        }
        check("", &TrainFile::schema());
    }
}
