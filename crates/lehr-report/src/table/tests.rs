use super::*;

fn sample() -> Table {
    let columns = vec![
        Column::new("rule"),
        Column::with_unit("cost", "mnat"),
        Column::new("updates"),
        Column::new("note"),
    ];
    let mut table = Table::new(columns);
    let number = |value| Cell::Number { value, decimals: 2 };
    let text = |text: &str| Cell::Text(text.to_owned());
    table.row(vec![text("cosine to 10 %"), number(10.123456789), Cell::Count(50_000), Cell::Empty]).unwrap();
    table.row(vec![text("a|b, \"c\"_\\d"), number(-0.5), Cell::Empty, text("η = 10⁻³ …\nsee")]).unwrap();
    table.row(vec![text("none"), number(f64::NAN), Cell::Count(0), text("−0.001 is 0")]).unwrap();
    table.row(vec![text("tiny"), number(-0.001), Cell::Count(1), Cell::Empty]).unwrap();
    table
}

#[test]
fn csv_holds_every_digit_and_quotes_what_would_be_split() {
    assert_eq!(
        sample().write(TableFormat::Csv),
        "rule,cost (mnat),updates,note\n\
         cosine to 10 %,10.123456789,50000,\n\
         \"a|b, \"\"c\"\"_\\d\",-0.5,,\"η = 10⁻³ …\nsee\"\n\
         none,NaN,0,−0.001 is 0\n\
         tiny,-0.001,1,\n"
    );
}

#[test]
fn markdown_keeps_its_columns_whatever_is_in_them() {
    let text = sample().write(TableFormat::Markdown);
    let bars = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(text.lines().all(|line| bars(line) == 5), "{text}");
    assert_eq!(text.lines().count(), 6);
    assert!(text.contains("|---|---:|---:|---|\n"), "{text}");
    assert!(text.contains("| a\\|b, \"c\"_\\\\d | −0.50 | – | η = 10⁻³ … see |"), "{text}");
    assert!(text.contains("| tiny | 0.00 | 1 | – |"), "{text}");
}

#[test]
fn latex_is_plain_ascii_and_has_one_row_a_line() {
    let text = sample().write(TableFormat::Latex);
    assert!(text.is_ascii(), "{text}");
    assert!(
        text.contains(
            "\\begin{tabular}{lrrl}\n\\toprule\nrule & cost (mnat) & updates & note \\\\\n\\midrule\n"
        ),
        "{text}"
    );
    assert!(text.contains("cosine to 10 \\% & 10.12 & 50000 & -- \\\\\n"), "{text}");
    assert!(
        text.contains(
            "a|b, \"c\"\\_\\textbackslash{}d & $-$0.50 & -- & $\\eta$ = 10$^{-}$$^{3}$ \\dots{} see \\\\\n"
        ),
        "{text}"
    );
    let ends = |line: &&str| line.ends_with("\\\\");
    assert_eq!(text.lines().filter(ends).count(), 5);
}

#[test]
fn a_row_of_another_length_is_refused() {
    let mut table = Table::new(vec![Column::new("a"), Column::new("b")]);
    table.row(vec![Cell::Empty, Cell::Empty]).unwrap();
    let error = table.row(vec![Cell::Empty]).unwrap_err();
    assert_eq!(error, TableError::Cells { row: 2, found: 1, expected: 2 });
    assert_eq!(
        error.to_string(),
        "row 2 of the table has 1 cells where there are 2 columns; give one cell a column"
    );
    assert_eq!(table.write(TableFormat::Csv), "a,b\n,\n");
}

#[test]
fn the_name_of_a_file_decides_the_format_of_its_table() {
    for (name, format) in
        [("a.csv", TableFormat::Csv), ("x.y/b.MD", TableFormat::Markdown), ("c.tex", TableFormat::Latex)]
    {
        assert_eq!(TableFormat::from_name(name), Ok(format));
    }
    for name in ["a", "a.json", "dir.csv/a", ""] {
        let error = TableFormat::from_name(name).unwrap_err();
        assert!(error.to_string().contains("must end in .csv, .md or .tex"), "{error}");
    }
}
