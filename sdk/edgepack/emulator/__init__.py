"""Run model files without the device: on an emulated ARM core, or in an interpreter of ML Programs."""
