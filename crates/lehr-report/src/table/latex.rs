//! Tables in LaTeX.

use super::{Column, Table, one_line, read};

impl Table {
    /// A `tabular` for `booktabs`; every character outside ASCII that lehr writes has a command, so that pdfLaTeX
    /// takes it.
    pub(super) fn latex(&self) -> String {
        let line = |cells: Vec<String>| format!("{} \\\\\n", cells.join(" & "));
        let alignment: String =
            (0..self.columns.len()).map(|i| if self.numeric(i) { 'r' } else { 'l' }).collect();
        let head = line(self.columns.iter().map(|column| escape(&Column::title(column))).collect());
        let mut text = format!(
            "% needs \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{alignment}}}\n\\toprule\n{head}\\midrule\n"
        );
        for row in &self.rows {
            text += &line(row.iter().map(|cell| escape(&read(cell))).collect());
        }
        text + "\\bottomrule\n\\end{tabular}\n"
    }
}

/// A text as LaTeX prints it.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => {
                out.push('\\');
                out.push(c);
            }
            '\\' => out.push_str("\\textbackslash{}"),
            '~' => out.push_str("\\textasciitilde{}"),
            '^' => out.push_str("\\textasciicircum{}"),
            '<' => out.push_str("$<$"),
            '>' => out.push_str("$>$"),
            '−' => out.push_str("$-$"),
            '–' => out.push_str("--"),
            '—' => out.push_str("---"),
            '…' => out.push_str("\\dots{}"),
            '±' => out.push_str("$\\pm$"),
            '×' => out.push_str("$\\times$"),
            '·' => out.push_str("$\\cdot$"),
            '≤' => out.push_str("$\\le$"),
            '≥' => out.push_str("$\\ge$"),
            '≈' => out.push_str("$\\approx$"),
            '→' => out.push_str("$\\rightarrow$"),
            '√' => out.push_str("$\\surd$"),
            'α' => out.push_str("$\\alpha$"),
            'β' => out.push_str("$\\beta$"),
            'γ' => out.push_str("$\\gamma$"),
            'η' => out.push_str("$\\eta$"),
            'κ' => out.push_str("$\\kappa$"),
            'λ' => out.push_str("$\\lambda$"),
            'σ' => out.push_str("$\\sigma$"),
            'Δ' => out.push_str("$\\Delta$"),
            'Σ' => out.push_str("$\\Sigma$"),
            '\u{202f}' | '\u{2009}' => out.push_str("\\,"),
            '\u{a0}' => out.push('~'),
            '⁻' => out.push_str("$^{-}$"),
            c => match "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|digit| digit == c) {
                Some(digit) => out.push_str(&format!("$^{{{digit}}}$")),
                None => out.push(c),
            },
        }
    }
    out
}
