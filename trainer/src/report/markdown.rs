//! A report as Markdown, beside the files that it shows.

use super::document::{Block, Document, hexadecimal};
use crate::table::Table;

/// The text of a report.
pub(crate) fn write(document: &Document) -> String {
    let blocks = document.blocks.iter().map(block);
    let all: Vec<String> = std::iter::once(format!("# {}", escaped(&document.title))).chain(blocks).collect();
    all.join("\n\n") + "\n"
}

fn block(block: &Block) -> String {
    match block {
        Block::Heading(text) => format!("## {}", escaped(text)),
        Block::Text(text) => escaped(text),
        Block::Note(text) => format!("> **{}**", escaped(text)),
        Block::Table(rows) => table(rows),
        Block::Folded(line, rows) => format!("{}:\n\n{}", escaped(line), table(rows)),
        Block::Legend(entries) => {
            let entry = |(colour, name): &([u8; 3], String)| format!("- {}: {}", hexadecimal(*colour), escaped(name));
            entries.iter().map(entry).collect::<Vec<_>>().join("\n")
        }
        Block::Commands(lines) => format!("```sh\n{}\n```", lines.join("\n")),
        Block::Plot { file, alt, .. } | Block::Picture { file, alt, .. } => picture(file, alt),
        Block::Gallery { file, alt, pictures, .. } => {
            let captions = pictures.iter().enumerate().map(|(i, p)| format!("{}. {}", i + 1, escaped(&p.caption)));
            format!("{}\n\n{}", picture(file, alt), captions.collect::<Vec<_>>().join("\n"))
        }
    }
}

fn picture(file: &str, alt: &str) -> String {
    format!("![{}]({file})", escaped(alt))
}

fn table(table: &Table) -> String {
    let row = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    let text = |cells: &[String]| row(cells.iter().map(|cell| escaped(cell)).collect());
    let rule = (0..table.columns.len()).map(|column| if column < table.words { "---" } else { "---:" }.to_owned());
    let head = [text(&table.columns), row(rule.collect())];
    head.into_iter().chain(table.rows.iter().map(|cells| text(cells))).collect::<Vec<_>>().join("\n")
}

/// Text that means itself in Markdown, on one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' => escaped.extend(['\\', c]),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::document::Captioned;
    use super::*;

    #[test]
    fn every_block_has_its_form_and_text_means_itself() {
        let mut rows = Table::new(&["key", "value"], 1);
        rows.rows.push(vec!["a|b".into(), "1.5".into()]);
        let picture = || Captioned { png: vec![], caption: "p_1: missed".into() };
        let document = Document {
            title: "Run <b>".into(),
            blocks: vec![
                Block::Note("Not for clinical use.".into()),
                Block::Table(rows.clone()),
                Block::Folded("Recipe".into(), rows),
                Block::Commands(vec!["sonoseg predict a_b".into()]),
                Block::Plot { file: "curves.svg".into(), alt: "Curves".into(), svg: String::new() },
                Block::Gallery {
                    file: "worst.png".into(),
                    alt: "Worst".into(),
                    sheet: vec![],
                    pictures: vec![picture(), picture()],
                },
            ],
        };
        let text = write(&document);
        for part in [
            "# Run &lt;b&gt;\n\n> **Not for clinical use.**",
            "| key | value |\n| --- | ---: |\n| a\\|b | 1.5 |",
            "Recipe:\n\n| key",
            "```sh\nsonoseg predict a_b\n```",
            "![Curves](curves.svg)",
            "![Worst](worst.png)\n\n1. p\\_1: missed\n2. p\\_1: missed\n",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
