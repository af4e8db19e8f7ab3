//! A report as one HTML file that needs nothing else: plots inside, pictures as data URIs, no script.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::document::{Block, Document, hexadecimal};
use crate::table::Table;

const STYLE: &str = include_str!("report.css");

/// The text of the file.
pub(crate) fn write(document: &Document) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (document.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (document.title) }
                    @for part in &document.blocks { (block(part)) }
                }
            }
        }
    };
    page.into_string()
}

fn block(block: &Block) -> Markup {
    match block {
        Block::Heading(text) => html! { h2 { (text) } },
        Block::Text(text) => html! { p { (text) } },
        Block::Note(text) => html! { p.note role="note" { (text) } },
        Block::Table(rows) => table(rows),
        Block::Folded(line, rows) => html! { details { summary { (line) } (table(rows)) } },
        Block::Legend(entries) => html! {
            ul.legend {
                @for (colour, name) in entries {
                    li { span style={ "background:" (hexadecimal(*colour)) } {} " " (name) }
                }
            }
        },
        Block::Commands(lines) => html! { pre { code { (lines.join("\n")) } } },
        // The plot was written by `plot.rs`, which escapes the names in it.
        Block::Plot { svg, .. } => html! { figure.curves { (PreEscaped(svg)) } },
        Block::Picture { alt, png, .. } => html! { figure { (picture(png, alt)) figcaption { (alt) } } },
        Block::Gallery { pictures, .. } => html! {
            div.gallery {
                @for one in pictures {
                    figure { (picture(&one.png, &one.caption)) figcaption { (one.caption) } }
                }
            }
        },
    }
}

fn picture(png: &[u8], alt: &str) -> Markup {
    html! { img alt=(alt) loading="lazy" src={ "data:image/png;base64," (STANDARD.encode(png)) }; }
}

fn table(table: &Table) -> Markup {
    let class = |column: usize| (column >= table.words).then_some("number");
    html! {
        div.wide {
            table {
                thead {
                    tr {
                        @for (column, name) in table.columns.iter().enumerate() {
                            th scope="col" class=[class(column)] { (name) }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th scope="row" { (cell) } }
                                @else { td class=[class(column)] { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Captioned;
    use super::*;

    #[test]
    fn the_file_needs_nothing_else_and_text_is_escaped() {
        let mut rows = Table::new(&["key", "value"], 1);
        rows.rows.push(vec!["<script>".into(), "1.5".into()]);
        let document = Document {
            title: "A & B".into(),
            blocks: vec![
                Block::Note("Not for clinical use.".into()),
                Block::Folded("Recipe".into(), rows),
                Block::Legend(vec![([230, 159, 0], "a<b".into())]),
                Block::Plot { file: "curves.svg".into(), alt: "Curves".into(), svg: "<svg></svg>".into() },
                Block::Gallery {
                    file: "worst.png".into(),
                    alt: "Worst".into(),
                    sheet: vec![],
                    pictures: vec![Captioned { png: b"png".to_vec(), caption: "\"one\"".into() }],
                },
            ],
        };
        let text = write(&document);
        for part in [
            "<title>A &amp; B</title>",
            "&lt;script&gt;",
            "<td class=\"number\">1.5</td>",
            "<li><span style=\"background:#e69f00\"></span> a&lt;b</li>",
            "<figure class=\"curves\"><svg></svg></figure>",
            "alt=\"&quot;one&quot;\"",
            "src=\"data:image/png;base64,cG5n\"",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        for outside in ["<script", "<link", "http://", "https://", "worst.png", "curves.svg"] {
            assert!(!text.contains(outside), "{outside} is in\n{text}");
        }
    }
}
