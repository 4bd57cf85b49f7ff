"""The bundled tiny model: its world, tokenizer, training and weights. Imports nothing by itself."""
