"""Quantisers, and what makes a network ready for them without training it (Gholami 2021).

`affine`           grids as data, rounding to them; steps from a range
`calibration`      ranges from samples: min-max, percentile, entropy, mse
`learnt`           steps and clips that training sizes: LSQ, PACT
`own_steps`        what a grid has beside statistics: steps that were found, or learnt shares of theirs
`learning`         the steps of a network, learning with its weights
`rows`             layers whose weight is rounded row by row
`equalization`     channels of one size across layers, the function unchanged
`bias_correction`  the mean error of rounding taken off, layer by layer
`adaround`         weights rounded up or down by what the layer gives
`roundings`        the same, layer by layer of a network
`zero_shot`        pictures to calibrate on from BatchNorm's statistics alone
`grids`            the grids of a network's activations, calibrated while BatchNorm stays
`recording`        what stands in front of each BatchNorm, for those above
`post_training`    all that is done after a training in float, in order
"""
