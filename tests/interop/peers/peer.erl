#!/usr/bin/env escript
%% tests/interop/peers/peer.erl: the end of the interop matrix in Erlang's ssl. Server: sends back what comes. Client:
%% sends a file in parts, expects each back. Run as an escript: peer.erl server|client --port P ...
-module(peer).
-export([main/1]).

main([Role | Words]) ->
    {ok, _} = application:ensure_all_started(ssl),
    logger:set_primary_config(level, error),
    O = options(Words, #{}),
    Port = list_to_integer(maps:get("port", O)),
    case Role of
        "server" -> serve(Port, O);
        "client" -> client(Port, O)
    end.

options([], O) -> O;
options(["--" ++ Name], O) -> O#{Name => true};
options(["--" ++ Name, "--" ++ Next | Rest], O) -> options(["--" ++ Next | Rest], O#{Name => true});
options(["--" ++ Name, Value | Rest], O) -> options(Rest, O#{Name => Value}).

common(O) ->
    [{versions, ['tlsv1.3']}, {cacertfile, maps:get("ca", O)}, {mode, binary}, {active, false}]
        ++ [{certfile, Cert} || #{"cert" := Cert} <- [O]]
        ++ [{keyfile, Key} || #{"key" := Key} <- [O]]
        ++ [{ciphers, [Suite]} || #{"suite" := Suite} <- [O]]
        ++ [{psk_identity, Psk} || #{"psk" := Psk} <- [O]]
        ++ [{supported_groups, [list_to_atom(Group)]} || #{"group" := Group} <- [O]].

serve(Port, O) ->
    Verify = case O of
        #{"require-client-cert" := true} -> [{verify, verify_peer}, {fail_if_no_peer_cert, true}];
        _ -> [{verify, verify_none}]
    end,
    Early = case O of #{"early" := _} -> [{early_data, enabled}]; _ -> [] end,
    {ok, Listener} = ssl:listen(Port, common(O) ++ Verify ++ Early ++
        [{ip, {127, 0, 0, 1}}, {reuseaddr, true}, {session_tickets, stateless}, {anti_replay, '10k'}]),
    accept(Listener).

accept(Listener) ->
    {ok, Plain} = ssl:transport_accept(Listener),
    case ssl:handshake(Plain, 10000) of
        {ok, Peer} -> echo(Peer);
        {error, Why} -> io:format(standard_error, "~p~n", [Why])
    end,
    accept(Listener).

echo(Peer) ->
    case ssl:recv(Peer, 0, 15000) of
        {ok, Data} -> ok = ssl:send(Peer, Data), echo(Peer);
        {error, _} -> ssl:close(Peer)
    end.

client(Port, O) ->
    {ok, Data} = file:read_file(maps:get("data", O)),
    Count = case O of #{"resume" := true} -> 2; _ -> 1 end,
    [connect(Port, O, Data, N) || N <- lists:seq(1, Count)],
    halt(0).

connect(Port, O, Data, N) ->
    Early = case O of
        #{"early" := File} when N > 1 -> {ok, Text} = file:read_file(File), [{early_data, Text}];
        _ -> []
    end,
    Options = common(O) ++ Early ++ [{verify, verify_peer}, {server_name_indication, "localhost"}, {session_tickets, auto}],
    case ssl:connect({127, 0, 0, 1}, Port, Options, 10000) of
        {ok, Peer} ->
            case Early of
                [{early_data, Sent}] -> {ok, Sent} = ssl:recv(Peer, byte_size(Sent), 10000);
                [] -> ok
            end,
            parts(Peer, Data, min(byte_size(Data) div 4, 32768)),
            {ok, Info} = ssl:connection_information(Peer, [protocol, selected_cipher_suite, session_resumption]),
            io:format("~p~n", [Info]),
            timer:sleep(200),
            ssl:close(Peer);
        {error, Why} ->
            io:format(standard_error, "~p~n", [Why]),
            halt(1)
    end.

parts(_, <<>>, _) -> ok;
parts(Peer, Data, Size) ->
    <<Part:Size/binary, Rest/binary>> = Data,
    ok = ssl:send(Peer, Part),
    {ok, Part} = ssl:recv(Peer, Size, 15000),
    parts(Peer, Rest, Size).
