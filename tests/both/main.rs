//! The same tests natively on the CPU and in a browser on WebGPU.
