// Processing element of shift layers: the weight is zero or a sign and a power of two, 2^exponent.
//
// Every clock takes one pair of operands: x in two's complement, and the weight as three fields. The operators have
// weights 2^-e; here the exponent counts from their smallest, so no bit of x is lost and the sum is an integer.
// `first` marks the first pair of a sum; `sum` holds a pair one clock edge after it was presented.
//
// A term has WIDTH + 2^EXPONENT_WIDTH - 1 bits; SUM_WIDTH = that + g bits hold every sum of fewer than 2^g terms.
module pe_shift #(
    parameter WIDTH = 8,
    parameter EXPONENT_WIDTH = 3,
    parameter SUM_WIDTH = 27
) (
    input clock,
    input first,
    input signed [WIDTH-1:0] x,
    input negative,
    input zero,
    input [EXPONENT_WIDTH-1:0] exponent,
    output reg signed [SUM_WIDTH-1:0] sum
);
    localparam TERM_WIDTH = WIDTH + (1 << EXPONENT_WIDTH) - 1;

    wire signed [WIDTH-1:0] kept = zero ? {WIDTH{1'b0}} : x;
    wire signed [TERM_WIDTH-1:0] widened = {{(TERM_WIDTH-WIDTH){kept[WIDTH-1]}}, kept};
    wire signed [TERM_WIDTH-1:0] shifted = widened << exponent;
    // -t = ~t + 1, and the one goes in as the carry of the accumulator's adder, below its lowest bit.
    wire [SUM_WIDTH-1:0] addend =
        {{(SUM_WIDTH-TERM_WIDTH){shifted[TERM_WIDTH-1]}}, shifted} ^ {SUM_WIDTH{negative}};
    wire [SUM_WIDTH-1:0] base = first ? {SUM_WIDTH{1'b0}} : sum;
    wire [SUM_WIDTH:0] total = {base, 1'b1} + {addend, negative};

    always @(posedge clock) sum <= total[SUM_WIDTH:1];
endmodule
