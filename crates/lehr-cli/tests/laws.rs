//! The verb `laws`: every law can be listed and shown, an unknown one is an error with a way out.

use assert_cmd::Command;

fn lehr(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::cargo_bin("lehr").unwrap().args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_listed_law_has_a_page_with_its_coefficients_and_limits() {
    let (code, list, _) = lehr(&["laws"]);
    assert_eq!(code, 0);
    for law in lehr::law::all() {
        assert!(list.contains(law.equation()), "{} is not listed", law.name());
        let (code, page, _) = lehr(&["laws", law.name()]);
        assert_eq!(code, 0);
        for coefficient in law.coefficients() {
            assert!(page.contains(coefficient.name) && page.contains(coefficient.symbol), "{}", law.name());
        }
        for limit in law.limits() {
            assert!(page.contains(limit), "{}: {limit}", law.name());
        }
    }
}

#[test]
fn the_json_of_a_law_is_complete() {
    let (code, text, _) = lehr(&["laws", "mpl", "--json"]);
    assert_eq!(code, 0);
    let law: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(law["name"], "multi-power");
    assert_eq!(law["coefficients"].as_array().unwrap().len(), 9);
    assert_eq!(law["coefficients"][3]["scale"], "log");
    assert_eq!(law["linear"], serde_json::json!(["l0", "a", "b", "lambda_n"]));
    assert_eq!(law["zero_rate_padding_changes_the_loss"], false);
    let (_, text, _) = lehr(&["laws", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(all["laws"].as_array().unwrap().len(), lehr::law::all().len());
}

#[test]
fn an_unknown_law_is_a_usage_error_that_names_the_laws() {
    let (code, out, error) = lehr(&["laws", "nope"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        error.contains("error: there is no law 'nope'")
            && error.contains("hint: the laws are noise-relaxation")
    );
}
