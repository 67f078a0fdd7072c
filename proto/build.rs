//! Compiles the contract. The compiler is `protox`, a build dependency, so no `protoc` has to be installed.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=kfleet");
    let descriptors = protox::compile(["kfleet/v1/agent.proto"], ["."])?;
    let mut config = prost_build::Config::new();
    config.bytes([".kfleet.v1.Output.data", ".kfleet.v1.BlobChunk.data"]);
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure().compile_fds_with_config(descriptors, config)?;
    Ok(())
}
