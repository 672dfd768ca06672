// Processing element of add (L1) layers: accumulates |x - w|.
//
// Every clock takes one pair of operands, both in two's complement and of one scale. The operator is -sum |x - w|; the
// sign goes into the batch norm behind it, so the sum here is never negative and needs no sign bit. `first` marks the
// first pair of a sum; `sum` holds a pair one clock edge after it was presented.
//
// SUM_WIDTH = WIDTH + g bits hold every sum of fewer than 2^g terms.
module pe_add #(
    parameter WIDTH = 8,
    parameter SUM_WIDTH = 20
) (
    input clock,
    input first,
    input signed [WIDTH-1:0] x,
    input signed [WIDTH-1:0] w,
    output reg [SUM_WIDTH-1:0] sum
);
    wire signed [WIDTH:0] difference = x - w;
    wire negative = difference[WIDTH];
    // |d| = ~d + 1 below zero, and the one goes in as the carry of the accumulator's adder, below its lowest bit.
    wire [WIDTH-1:0] magnitude = difference[WIDTH-1:0] ^ {WIDTH{negative}};
    wire [SUM_WIDTH-1:0] base = first ? {SUM_WIDTH{1'b0}} : sum;
    wire [SUM_WIDTH:0] total = {base, 1'b1} + {{(SUM_WIDTH-WIDTH){1'b0}}, magnitude, negative};

    always @(posedge clock) sum <= total[SUM_WIDTH:1];
endmodule
