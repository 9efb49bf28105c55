//! The reference of the command line is what `--help` prints, and completion scripts come out for the usual shells.

use crate::support::{lehr, root};

/// The verbs, as the command itself lists them.
fn verbs() -> Vec<String> {
    commands_in(&lehr(&["--help"]).expect(0).out)
}

/// The commands that a help text lists.
fn commands_in(help: &str) -> Vec<String> {
    let Some(list) = help.split("Commands:\n").nth(1) else { return Vec::new() };
    let list = list.split("\n\n").next().unwrap();
    list.lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_reference_is_what_help_prints() {
    let mut text = String::from(
        "# The command line\n\nWhat `lehr --help` and `lehr VERB --help` print. A test writes this file \
         (`LEHR_WRITE_REFERENCE=1 cargo test -p lehr-cli --test cli reference`) and compares it.\n",
    );
    let mut section = |title: &str, help: &str| {
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        text.push_str(&format!("\n## {title}\n\n```text\n{}\n```\n", help.join("\n").trim_end()));
    };
    section("lehr", &lehr(&["--help"]).expect(0).out);
    for verb in verbs() {
        let help = lehr(&[verb.as_str(), "--help"]).expect(0).out;
        section(&format!("lehr {verb}"), &help);
        for inner in commands_in(&help) {
            let help = lehr(&[verb.as_str(), inner.as_str(), "--help"]).expect(0).out;
            section(&format!("lehr {verb} {inner}"), &help);
        }
    }
    let path = root().join("docs/reference/cli.md");
    if std::env::var_os("LEHR_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    let differs = text.lines().zip(found.lines()).position(|(a, b)| a != b);
    assert!(
        found == text,
        "docs/reference/cli.md is out of date (line {:?}); run LEHR_WRITE_REFERENCE=1 cargo test -p lehr-cli --test cli reference",
        differs.map(|line| line + 1)
    );
}

#[test]
fn the_help_of_every_verb_has_examples() {
    let verbs = verbs();
    assert!(verbs.len() >= 10, "{verbs:?}");
    for verb in verbs {
        let help = lehr(&[verb.as_str(), "--help"]).expect(0).out;
        assert!(help.contains("Example"), "{verb}: {help}");
        assert!(help.contains(&format!("lehr {verb}")), "{verb}: no example line");
    }
}

#[test]
fn completions_come_out_for_every_shell() {
    for (shell, sign) in
        [("bash", "complete -F _lehr"), ("zsh", "#compdef lehr"), ("fish", "complete -c lehr")]
    {
        let script = lehr(&["completions", shell]).expect(0).out;
        assert!(script.contains(sign), "{shell}");
        assert!(script.contains("recommend"), "{shell}");
    }
}

#[test]
fn the_page_of_caveats_is_what_the_program_knows() {
    let path = root().join("docs/caveats.md");
    let text = ::lehr::caveat::page(|text| lehr_app::failure::worded(text, lehr_app::failure::flag));
    if std::env::var_os("LEHR_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap() == text,
        "docs/caveats.md is out of date; run LEHR_WRITE_REFERENCE=1 cargo test -p lehr-cli --test cli reference"
    );
}
