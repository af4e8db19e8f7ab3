//! The commands of the repository. They set up what is missing, say what they do, and contain nothing of the product.

#![expect(clippy::print_stdout, reason = "a command-line program talks to the person in front of it")]

mod bench;
mod pack;
mod process;
mod serve;
mod setup;
mod steps;
mod wasm;

use anyhow::{Context, Result, bail};
use process::{repository, run};
use setup::Tool;
use steps::STEPS;

const ADDRESS: &str = "127.0.0.1";
const PORT: &str = "8080";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    std::env::set_current_dir(repository())?;
    match words.split_first().map(|(command, rest)| (command.as_str(), rest)) {
        Some(("app", rest)) => app(rest),
        Some(("test", rest)) => steps::test(rest),
        Some(("bench", rest)) => bench::bench(rest),
        Some(("pack", _)) => pack::pack(),
        Some(("help" | "--help" | "-h", _)) | None => {
            help();
            Ok(())
        }
        Some((other, _)) => {
            help();
            bail!("'{other}' is not a command of xtask: use one of those above.")
        }
    }
}

fn help() {
    println!("cargo xtask app  [--port {PORT}]         build the app and serve it on http://{ADDRESS}:{PORT}");
    println!("cargo xtask bench infer [--help]    time the network against PyTorch and ONNX Runtime Web");
    println!("cargo xtask bench train [--help]    time training steps against PyTorch, and the loader");
    println!("cargo xtask bench browser           time strokes and frames of the built app, and its memory");
    println!("cargo xtask bench learn             measure what learning in the tab from few marked frames is worth");
    println!("cargo xtask pack                    finish a build in dist/: hashes and packed files; trunk calls it");
    println!("cargo xtask test [step ..]          run everything that CI runs, or only these steps:");
    for step in STEPS {
        println!("    {:12} {}", step.name, step.what);
    }
}

/// Build the app as it is shipped (`Trunk.toml` says how) and serve it, rebuilding when a source file changes. What is no
/// option of ours is one of trunk.
fn app(options: &[String]) -> Result<()> {
    for tool in [Tool::WasmTarget, Tool::WasmBindgen, Tool::Trunk] {
        tool.ensure()?;
    }
    let (mut port, mut trunk) = (PORT, vec!["watch"]);
    let mut words = options.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word {
            "--port" => port = words.next().context("--port needs a number, for example --port 9000")?,
            other => trunk.push(other),
        }
    }
    let address = format!("{ADDRESS}:{port}");
    serve::serve(repository().join("dist"), &address)?;
    println!("\nBuilding the app; the first build takes about ten minutes on two cores.");
    println!("Then open http://{address} in a browser. Ctrl-C stops the server.\n");
    run("trunk", trunk, &[])
}
