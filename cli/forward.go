package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"
)

// forwardProtocol is what the agent's /api/agora/forward is upgraded to.
const forwardProtocol = "agora-forward/1"

func (a *App) forwardCommand() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:               "port-forward TASK [LOCAL:]REMOTE...",
		Short:             "Reach a port of a task from this machine",
		Example:           "  agora port-forward web 8080:80\n  agora port-forward db 0:5432",
		ValidArgsFunction: a.completeTasks,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("port-forward needs a task and a port: agora port-forward web 8080:80")
			}
			v, err := a.look(cmd.Context())
			if err != nil {
				return err
			}
			t, err := v.task(args[0])
			if err != nil {
				return err
			}
			return a.forwardAll(cmd.Context(), t, address, args[1:])
		},
	}
	cmd.Flags().StringVar(&address, "address", "127.0.0.1", "address of this machine to listen on")
	return cmd
}

// parseForward reads "LOCAL:REMOTE" or "PORT"; a local port of 0 is any free one.
func parseForward(text string) (local, remote int, err error) {
	from, to, both := strings.Cut(text, ":")
	if !both {
		to = from
	}
	local, localErr := strconv.Atoi(from)
	remote, remoteErr := strconv.Atoi(to)
	if localErr != nil || remoteErr != nil || local < 0 || local > 65535 || remote < 1 || remote > 65535 {
		return 0, 0, usagef("port %q: write LOCAL:REMOTE or PORT, of 1 to 65535", text)
	}
	return local, remote, nil
}

// forwardAll listens for each port and forwards until ctx ends.
func (a *App) forwardAll(ctx context.Context, t task, address string, ports []string) error {
	id, err := t.container()
	if err != nil {
		return err
	}
	base, err := a.agentURL(ctx, t.Agent)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, text := range ports {
		local, remote, err := parseForward(text)
		if err != nil {
			return err
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(local)))
		if err != nil {
			return fmt.Errorf("listen for %s: %w", text, err)
		}
		stop := context.AfterFunc(ctx, func() { listener.Close() })
		defer stop()
		target := base + "/api/agora/forward?" + url.Values{"container_id": {flatID(id)}, "port": {strconv.Itoa(remote)}}.Encode()
		fmt.Fprintf(a.Out, "%s -> %s:%d\n", listener.Addr(), t.GetTaskId().GetValue(), remote)
		wg.Go(func() { a.accept(ctx, listener, target, &wg) })
	}
	<-ctx.Done()
	return nil
}

func (a *App) accept(ctx context.Context, listener net.Listener, target string, wg *sync.WaitGroup) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		wg.Go(func() {
			defer conn.Close()
			if err := forwardOne(ctx, conn, target); err != nil && ctx.Err() == nil {
				fmt.Fprintf(a.Err, "agora: %v\n", err)
			}
		})
	}
}

// forwardOne carries one connection.
func forwardOne(ctx context.Context, conn net.Conn, target string) error {
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	remote, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	defer remote.Close()
	defer context.AfterFunc(ctx, func() { remote.Close(); conn.Close() })()
	request := "POST " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\nConnection: Upgrade\r\nUpgrade: " + forwardProtocol +
		"\r\nContent-Length: 0\r\n\r\n"
	if _, err := io.WriteString(remote, request); err != nil {
		return err
	}
	ahead := bufio.NewReader(remote)
	response, err := http.ReadResponse(ahead, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return errors.New(strings.TrimSpace(string(text)))
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(remote, conn)
		closeWrite(remote)
	}()
	_, err = io.Copy(conn, ahead)
	closeWrite(conn)
	conn.Close() // the other direction has nobody to send to
	<-ended
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func closeWrite(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}
